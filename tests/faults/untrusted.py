"""Specs and run folders of others: networks that are code, files that were changed, links and pipes within."""

import json
import os
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path

from faults.case import Case, canary
from faults.pictures import classes
from faults.weights import Runs, match, safetensors, tensors, torch_zip
from tether.engine.trained import save_model
from tether.files import write_manifest
from tether.spec import RunSpec

NAMES = ("torch.hub:load", "os:system", "mine:net", "builtins:exec", "subprocess:Popen", "runpy:run_path", "a:b", ":")


def module(folder: Path) -> None:
    """A module that leaves its mark when it is imported, where Python looks for it."""
    (folder.parent / "here" / "mine.py").write_text(f"import os\nos.mkdir({str(canary(folder))!r})\nnet = print\n")


def spec(name: str, folder: Path, args: str = "") -> Path:
    path = folder / "spec.toml"
    path.write_text(f"[model]\nname = {json.dumps(name)}\n{args}[data]\npath = {json.dumps(str(folder))}\n")
    return path


def from_spec(command: str, name: str, folder: Path, *words: object, args: str = "") -> list[object]:
    module(folder)
    return [command, spec(name, classes(folder), args), "--size", 12, "--device", "cpu", *words]


def run(folder: Path, model: str = "digits-cnn") -> Path:
    """A finished run on ten classes."""
    place = folder / "run"
    place.mkdir()
    settings = {"model.name": model, "data.path": str(folder), "preprocessing.size": 12, "preprocessing.channels": 1}
    settings |= {"preprocessing.mean": [0.5], "preprocessing.std": [0.5]}
    made = RunSpec.from_flags(settings)
    (place / "spec.toml").write_text(made.to_toml())
    save_model(place, tensors(), made, tuple("0123456789"), "none")
    for name in ("environment.json", "outcome.json", "plan.json", "split.json"):
        (place / name).write_text("{}")
    write_manifest(place)
    return place


def reader(command: str, place: Path, folder: Path) -> list[object]:
    return [command, place, *([classes(folder) / "a"] if command == "predict" else [])]


def dotted(command: str, name: str, folder: Path) -> list[object]:
    module(folder)
    return reader(command, run(folder, name), folder)


def broken(command: str, change: Callable[[Path], object], folder: Path) -> list[object]:
    place = run(folder)
    change(place)
    return reader(command, place, folder)


def appended(name: str, place: Path) -> None:
    with (place / name).open("ab") as stream:
        stream.write(b" ")


def removed(name: str, place: Path) -> None:
    (place / name).unlink()


def piped(name: str, place: Path) -> None:
    (place / name).unlink()
    os.mkfifo(place / name)


def linked(name: str, place: Path) -> None:
    (place / name).rename(place.parent / name)
    (place / name).symlink_to(f"../{name}")


def manifest(text: str, place: Path) -> None:
    (place / "manifest.json").write_text(text)


def weighed(content: bytes, place: Path) -> None:
    (place / "model.safetensors").write_bytes(content)


def strange(place: Path) -> None:
    (place / "optimizer.pt").write_bytes(pickle.dumps(Runs(canary(place.parent)), 2))
    (place / "training_args.bin").write_bytes(pickle.dumps(Runs(canary(place.parent)), 2))


def predicted(change: Callable[[Path], object]) -> Callable[[Path], list[object]]:
    return partial(broken, "predict", change)


READERS = ("evaluate", "predict", "audit")
NETWORKS = [
    *(
        Case(f"{command} of a spec whose network is {name}", partial(from_spec, command, name), ("--trust-code",))
        for command in ("fit", "plan")
        for name in NAMES
    ),
    *(
        Case(f"{command} of a run whose network is {name}", partial(dotted, command, name), ("--trust-code",))
        for command in READERS
        for name in NAMES
    ),
    *(
        Case(f"a spec with {what}", partial(from_spec, "plan", name, args=args), says)
        for what, name, args, says in (
            ("10^9 units", "digits-cnn", "args = {in_channels = 1000000000}\n", ("`model.args",)),
            ("another's weights", "timm:resnet18", 'args = {checkpoint_path = "x.pth"}\n', ("`checkpoint_path`",)),
            ("fetched weights", "timm:resnet18", "args = {pretrained = true}\n", ("`pretrained`",)),
            ("10^9 layers", "timm:vit_tiny_patch16_224", "args = {depth = 1000000000}\n", ("1,000,000,000",)),
            ("ten million units", "timm:vit_tiny_patch16_224", "args = {embed_dim = 9999990}\n", ("too large",)),
            ("a network of the Hub", "timm:hf-hub:a/b", "", ("timm has no model named",)),
            ("a network in a folder", "timm:local-dir:/tmp", "", ("timm has no model named",)),
        )
    ),
]
CHANGED = [
    *(
        Case(f"{command} of a run with a changed {name}", partial(broken, command, partial(appended, name)), (name,))
        for command in READERS
        for name in ("spec.toml", "model.safetensors", "split.json", "outcome.json")
    ),
    *(
        Case(f"{command} of a run without {name}", partial(broken, command, partial(removed, name)), (name,))
        for command in READERS
        for name in ("spec.toml", "model.safetensors", "split.json")
    ),
    *(
        Case(f"{command} of a run whose {name} is a pipe", partial(broken, command, partial(piped, name)), (name,))
        for command in READERS
        for name in ("spec.toml", "model.safetensors")
    ),
    *(
        Case(
            f"predict of a run whose {name} is a link elsewhere",
            predicted(partial(linked, name)),
            (name, "is a link to"),
        )
        for name in ("spec.toml", "model.safetensors")
    ),
    *(
        Case(
            f"predict of a run whose manifest is {text[:24]!r}",
            predicted(partial(manifest, text)),
            ("manifest.json",),
        )
        for text in (
            "",
            "{",
            "[]",
            "3",
            "{}",
            '{"files": {}}',
            '{"files": 3}',
            '{"files": ' + "[" * 200_000,
            '{"files": {"../x": "0"}}',
        )
    ),
    Case("predict of a run with pickles beside", predicted(strange), ("path",), 0),
]


def source(change: Callable[[Path], object], folder: Path) -> list[object]:
    place = run(folder)
    change(place)
    return match(place)


SOURCES = [
    Case("a run as a source", partial(source, lambda place: None), ("8 copied",), 0),
    Case("a run with pickles beside as a source", partial(source, strange), ("copied",), 0),
    Case(
        "a run with other weights as a source",
        partial(source, partial(weighed, safetensors())),
        ("not the file that its run wrote",),
    ),
    Case(
        "a run with a torch file as its weights",
        partial(source, partial(weighed, torch_zip())),
        ("is not a safetensors file",),
    ),
    Case(
        "a run with a linked file as its weights",
        partial(source, partial(linked, "model.safetensors")),
        ("is a link to",),
    ),
]

CASES = [*NETWORKS, *CHANGED, *SOURCES]
