"""Checkpoints: code in every disguise, other things by a checkpoint's name, bad values, shards and links elsewhere."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import socket
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from faults.case import Case, canary
from faults.weights import (
    Runs,
    given,
    match,
    members,
    safetensors,
    tensors,
    torch_file,
    torch_zip,
    zipped,
)

NAN, INF = float("nan"), float("inf")
SUFFIXES = (".pt", ".safetensors", ".bin", ".ckpt")


def pickled(folder: Path, protocol: int, name: str) -> list[object]:
    return given(pickle.dumps({"w": Runs(canary(folder))}, protocol), folder, name)


def in_torch(folder: Path, *, zipped: bool, protocol: int = 2) -> list[object]:
    value = {"state_dict": tensors(), "extra": Runs(canary(folder))}
    content = torch_file(value, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    return given(content, folder)


def bare_pickle(folder: Path) -> list[object]:
    archive = {**members(torch_zip()), "archive/data.pkl": pickle.dumps(Runs(canary(folder)), 2)}
    return given(zipped(archive), folder)


def second_pickle(folder: Path, name: str, *, first: bool) -> list[object]:
    archive, bad = members(torch_zip()), pickle.dumps(Runs(canary(folder)), 2)
    return given(zipped({name: bad} if first else archive, *(archive.items() if first else [(name, bad)])), folder)


def in_array(folder: Path, *, zipped: bool) -> list[object]:
    stream = io.BytesIO()
    array = np.array([Runs(canary(folder))], dtype=object)
    if zipped:
        np.savez(stream, a=array)
    else:
        np.save(stream, array, allow_pickle=True)
    return given(stream.getvalue(), folder, "source.npz" if zipped else "source.npy")


def old_tar(folder: Path) -> list[object]:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            content = pickle.dumps(Runs(canary(folder)), 2)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return given(stream.getvalue(), folder, "source.pth.tar")


def distributed(folder: Path) -> list[object]:
    below = folder / "dcp"
    below.mkdir()
    (below / ".metadata").write_bytes(pickle.dumps(Runs(canary(folder)), 2))
    (below / "__0_0.distcp").write_bytes(torch_zip())
    return match(below)


def of_the_hub(folder: Path, *names: str) -> list[object]:
    (folder / "config.json").write_text('{"auto_map": {"AutoModel": "modeling.Net"}, "architectures": ["Net"]}')
    (folder / "modeling.py").write_text(f"import os\nos.mkdir({str(canary(folder))!r})\n")
    (folder / "training_args.bin").write_bytes(pickle.dumps(Runs(canary(folder)), 2))
    for name in names:
        (folder / name).write_bytes(safetensors())
    return match(folder)


def hub_file(folder: Path) -> list[object]:
    of_the_hub(folder, "model.safetensors")
    return match(folder / "model.safetensors")


CODE = [
    *(
        Case(
            f"a pickle of protocol {protocol} called source{suffix}",
            partial(pickled, protocol=protocol, name=f"s{suffix}"),
            ("a pickle" if protocol > 1 else "no checkpoint", "torch.save"),
        )
        for protocol in range(6)
        for suffix in SUFFIXES[: 2 if protocol < 2 else 4]
    ),
    Case("code in a torch zip", partial(in_torch, zipped=True), ("mkdir", "runs none that comes with a file")),
    Case("code in a torch zip of protocol 4", partial(in_torch, zipped=True, protocol=4), ("mkdir",)),
    Case("code in a torch legacy file", partial(in_torch, zipped=False), ("mkdir", "state_dict()")),
    Case("a torch zip whose pickle is only code", bare_pickle, ("mkdir",)),
    *(
        Case(
            f"a second {name} {'before' if first else 'behind'} the first",
            partial(second_pickle, name=f"archive/{name}", first=first),
            ("twice",),
        )
        for name in ("data.pkl", "DATA.PKL", "Data.pkl")
        for first in (True, False)
    ),
    Case("an array of objects", partial(in_array, zipped=False), ("a NumPy array",)),
    Case("an archive of arrays of objects", partial(in_array, zipped=True), ("an archive of NumPy arrays",)),
    Case("a tar of old torch", old_tar, ("a tar archive of torch before 0.1.10",)),
    Case(
        "a folder of torch.distributed.checkpoint", distributed, ("torch.distributed.checkpoint", "dcp_to_torch_save")
    ),
    Case("a folder of the Hub with code", partial(of_the_hub), ("code that it names is not run",)),
    Case(
        "a folder of the Hub with code and weights",
        lambda folder: of_the_hub(folder, "model.safetensors"),
        ("model.safetensors`", "code that it names is not run"),
    ),
    Case("weights beside code are read alone", hub_file, ("8 copied",), 0),
    *(
        Case(
            f"a torch file with a {name}",
            lambda folder, value=value: given(torch_file({"w": tensors(), "e": value}), folder),
            (says,),
        )
        for name, value, says in (
            ("class of its own", torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
            ("path", Path("x"), "pathlib"),
            ("scalar of NumPy", np.float64(1), "numpy"),
            ("array of NumPy", np.ones(2), "numpy"),
            ("function", os.getcwd, "getcwd"),
            ("date", __import__("datetime").date(2026, 1, 1), "datetime.date"),
        )
    ),
]


def other(folder: Path, content: bytes, name: str = "source.safetensors") -> list[object]:
    return given(content, folder, name)


def tarred(mode: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:  # type: ignore[call-overload]
        member = tarfile.TarInfo("weights.pt")
        member.size = len(torch_zip())
        archive.addfile(member, io.BytesIO(torch_zip()))
    return stream.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
PAGE = b"<!DOCTYPE html><html><body>Sign in</body></html>"
OTHERS = [
    Case(f"{what} called {name}", partial(other, content=content, name=name), says)
    for name in ("source.safetensors", "source.pt")
    for what, content, says in (
        ("nothing", b"", ("is empty",)),
        ("a git-LFS pointer", LFS, ("git-LFS pointer", "git lfs pull")),
        ("a page", PAGE, ("web or XML page",)),
        ("a page after a byte order mark", b"\xef\xbb\xbf" + PAGE, ("web or XML page",)),
        ("a page after lines", b"\r\n\r\n  " + PAGE, ("web or XML page",)),
        ("a page after a comment", b"<!-- saved from url=(0014) -->\n" + PAGE, ("web or XML page",)),
        ("an XML error", b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", ("web or XML page",)),
        ("a JSON error", b'{"error": "Repository not found"}', ("`weight_map` cannot be read",)),
        ("gzip", gzip.compress(safetensors()), ("gzip-compressed",)),
        ("bzip2", bz2.compress(safetensors()), ("bzip2-compressed",)),
        ("xz", lzma.compress(safetensors()), ("xz-compressed",)),
        ("zstd", b"\x28\xb5\x2f\xfd" + bytes(100), ("zstd-compressed",)),
        ("a tar", tarred("w"), ("a tar archive",)),
        ("a compressed tar", tarred("w:gz"), ("gzip-compressed",)),
        ("a picture", b"\x89PNG\r\n\x1a\n" + bytes(100), ("a picture",)),
        ("an HDF5 file", b"\x89HDF\r\n\x1a\n" + bytes(100), ("HDF5",)),
        ("a GGUF file", b"GGUF\x03" + bytes(100), ("GGUF",)),
        ("text", b"these are my weights\n", ("no checkpoint that is known",)),
        ("a program", b"\x7fELF" + bytes(100), ("no checkpoint that is known",)),
        ("random bytes", bytes(range(255, 0, -1)), ("no checkpoint that is known",)),
    )
]


def bad_values(folder: Path, name: str, values: list[float], kind: str) -> list[object]:
    found = {key: value.clone() for key, value in tensors().items()}
    found[name].view(-1)[: len(values)] = torch.tensor(values)
    path = folder / f"source.{kind}"
    if kind == "safetensors":
        save_file(found, path)
    else:
        torch.save(found, path)
    return match(path)


def expanded(folder: Path) -> list[object]:
    return given(torch_file({**tensors(), "head.weight": torch.ones(1).expand(10, 10**9)}), folder)


VALUES = [
    *(
        Case(
            f"{values} in {name} of a {kind} file",
            partial(bad_values, name=name, values=values, kind=kind),
            (f"`{name}`", f"has {len(values)} value", "not finite"),
        )
        for kind in ("safetensors", "pt")
        for name in ("conv1.weight", "embed.bias")
        for values in ([NAN], [INF], [-INF, NAN, INF])
    ),
    Case("a tensor of one value repeated ten billion times", expanded, ("greater than the file",)),
    *(
        Case(
            f"a tensor that {what}",
            lambda folder, value=value: given(torch_file({**tensors(), "head.bias": value}), folder),
            ("head.bias`", what),
        )
        for what, value in (
            ("is sparse", torch.eye(10).to_sparse()),
            ("is on the meta device", torch.empty(10, device="meta")),
        )
    ),
]


def thing(make: Callable[[Path], object], folder: Path) -> list[object]:
    """The words for what is called a checkpoint and is no file."""
    make(folder / "source.pt")
    return match(folder / "source.pt")


def bound(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's address is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(here)


def index(weight_map: object, folder: Path, **files: bytes) -> list[object]:
    for name, content in files.items():
        (folder / f"{name}.safetensors").write_bytes(content)
    path = folder / "model.safetensors.index.json"
    path.write_bytes(weight_map if isinstance(weight_map, bytes) else json.dumps({"weight_map": weight_map}).encode())
    return match(path)


def to_shard(shard: object, folder: Path) -> list[object]:
    (folder / "below").mkdir()
    (folder / "outside.safetensors").write_bytes(safetensors())
    return index(dict.fromkeys(tensors(), shard), folder / "below")


def linked_shard(target: str, folder: Path) -> list[object]:
    (folder / "below").mkdir()
    (folder / "outside.safetensors").write_bytes(safetensors())
    (folder / "below" / "a.safetensors").symlink_to(target.format(folder=folder))
    return index(dict.fromkeys(tensors(), "a.safetensors"), folder / "below")


def piped_shard(folder: Path) -> list[object]:
    os.mkfifo(folder / "a.safetensors")
    return index({"w": "a.safetensors"}, folder)


def cached(folder: Path) -> list[object]:
    """As the cache of the Hub lays a snapshot out."""
    snapshot = folder / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (folder / "blobs").mkdir()
    (folder / "blobs" / "0a").write_bytes(safetensors())
    (snapshot / "a.safetensors").symlink_to("../../blobs/0a")
    return index(dict.fromkeys(tensors(), "a.safetensors"), snapshot)


ALL = dict.fromkeys(("w",), "a.safetensors")
PLACES = [
    *(
        Case(f"{what} as a source", partial(thing, make), says)
        for what, make, says in (
            ("a pipe", os.mkfifo, ("a named pipe",)),
            ("a socket", bound, ("a socket",)),
            ("a link to a device", lambda path: path.symlink_to("/dev/zero"), ("a device",)),
            ("a link to itself", lambda path: path.symlink_to(path.name), ("there is no source",)),
            ("a link to nothing", lambda path: path.symlink_to("absent"), ("there is no source",)),
            ("a link to memory", lambda path: path.symlink_to("/proc/self/mem"), ("source.pt`",)),
            ("an empty folder", Path.mkdir, ("without `model.safetensors` and `spec.toml`",)),
        )
    ),
    Case("a device as a source", lambda folder: match("/dev/zero"), ("a device",)),
    Case("an endless device as a source", lambda folder: match("/dev/urandom"), ("a device",)),
    *(
        Case(f"a shard called {shard!r}", partial(to_shard, shard), ("named without a path",))
        for shard in (
            "../outside.safetensors",
            "/etc/passwd",
            "a/../../outside.safetensors",
            "..",
            "",
            3,
            None,
            ["a"],
            "a\0b",
        )
    ),
    *(
        Case(f"a shard that is a link to {target}", partial(linked_shard, target), ("is a link to",))
        for target in ("../outside.safetensors", "{folder}/outside.safetensors", "/etc/passwd")
    ),
    Case("a shard that is a pipe", piped_shard, ("a named pipe",)),
    Case("a shard of the Hub's cache", cached, ("8 copied",), 0),
    Case("a shard that is absent", partial(index, ALL), ("which is not there",)),
    Case("a shard that is a torch file", lambda folder: index(ALL, folder, a=torch_zip()), ("not a safetensors file",)),
    Case("a shard that is cut", lambda folder: index(ALL, folder, a=safetensors()[:-9]), ("the end is missing",)),
    Case("a shard without its tensor", lambda folder: index(ALL, folder, a=safetensors()), ("which is not in",)),
    Case(
        "shards whole",
        lambda folder: index(dict.fromkeys(tensors(), "a.safetensors"), folder, a=safetensors()),
        ("8 copied",),
        0,
    ),
    Case(
        "an index of a million tensors",
        lambda folder: index({f"layer.{n}": "a.safetensors" for n in range(10**6)}, folder),
        ("which is not there",),
    ),
    Case(
        "an index of a million shards",
        lambda folder: index({f"l{n}": f"{n}.safetensors" for n in range(10**6)}, folder),
        ("which is not there",),
    ),
    *(
        Case(f"an index that is {text[:20]!r}", lambda folder, text=text: index(text, folder), ("is not an index",))
        for text in (
            b"{}",
            b"{",
            b'{"weight_map": 3}',
            b'{"weight_map": ["a"]}',
            b'{"weight_map": null}',
            b'{"weight_map": ' + b"[" * 300_000,
            b'{"a": \xff}',
        )
    ),
    Case("an index of nothing", partial(index, {}), ("holds no tensor",)),
]

CASES = [*CODE, *OTHERS, *VALUES, *PLACES]
