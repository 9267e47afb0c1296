"""Flags of the commands that take a spec: each is a field of it."""

import inspect
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from tether.cli.words import numbers, plan_words, rename_pair, setting
from tether.errors import SettingsError
from tether.escaping import terminal
from tether.models.trust import require_trusted
from tether.spec import RunSpec


@dataclass(frozen=True)
class Flag:
    """A flag, the field it sets, and how its words are read."""

    name: str
    key: str
    kind: Any
    help: str
    read: Callable[[Any], Any] = lambda value: value

    @property
    def argument(self) -> str:
        """Its name as a Python argument."""
        return self.name.removeprefix("--").replace("-", "_")


def rename_pairs(texts: list[str]) -> list[list[str]]:
    """Read every `REGEX=REPLACEMENT`."""
    return [rename_pair(text) for text in texts]


WHOLE = re.compile(r"\s*[+-]?[0-9]{1,30}\s*", re.ASCII)
METAVARS = {str: "TEXT", int: "N", float: "X", list[str]: "TEXT"}
FLAGS = (
    Flag("--data", "data.path", str, "Class folders, a CSV of path,label, or digits."),
    Flag("--model", "model.name", str, "timm:NAME, digits-cnn, cifar-resnet20, a.b:Callable."),
    Flag("--source", "source.path", str, "File, run, timm:NAME, efficientnet-lite0, or mnist."),
    Flag("--plan", "plan", str, "Penalty: none, l2, differential_l2, l2_sp, ewc, frozen, …", plan_words),
    Flag("--batchnorm", "batchnorm", str, "Statistics of transferred layers: source or update."),
    Flag("--per-class", "data.per_class", int, "Training pictures a class; the rest is for test."),
    Flag("--validation", "data.validation", float, "Share of training. [0.2; none below 10 a class]"),
    Flag("--augment", "data.augment", str, "none, shift or photo. [by picture size]"),
    Flag("--skip-bad", "data.skip_bad", bool, "Leave unreadable pictures out, do not refuse."),
    Flag("--size", "preprocessing.size", int, "Side of the pictures in pixels. [the source's]"),
    Flag("--mean", "preprocessing.mean", str, "Mean of each channel, if the source says none.", numbers),
    Flag("--std", "preprocessing.std", str, "Deviation of each channel, likewise.", numbers),
    Flag("--padding", "preprocessing.padding", str, "same or symmetric, likewise."),
    Flag("--by", "source.by", str, "Pair parameters by name or by order. [name]"),
    Flag("--rename", "source.rename", list[str], "REGEX=REPLACEMENT on source names; repeatable.", rename_pairs),
    Flag("--exclude", "source.exclude", list[str], "Glob of parameters that stay new; repeatable."),
    Flag("--coverage", "source.coverage", float, "Least share that must transfer. [0.5]"),
    Flag("--source-classes", "source.classes", str, "File of the source's class names, one a line."),
    Flag("--source-data", "source.data", str, "Source task's pictures: measures what is kept."),
    Flag("--optimizer", "optimizer.name", str, "adamw or sgd. [adamw]"),
    Flag("--lr", "optimizer.lr", float, "Peak rate. [adamw 3e-4, sgd 3e-3; scratch 3 × more]"),
    Flag("--epochs", "train.epochs", int, "Passes over the pictures. [15, or 60 steps]"),
    Flag("--batch-size", "train.batch_size", int, "Pictures a step. [20]"),
    Flag("--patience", "train.patience", int, "Epochs to wait for progress on validation."),
    Flag("--auto-batch", "train.auto_batch", bool, "Halve what is computed at once if memory runs out."),
    Flag("--checkpoint-every", "checkpoint.every", int, "Steps between saves. [about 30 s]"),
    Flag("--probe", "probe", bool, "Put a linear probe beside the result."),
    Flag("--seed", "seed", int, "Of split, new head, order, augmentation. [0]"),
    Flag("--threads", "threads", int, "Of torch. [1 for small nets, else all cores]"),
    Flag("--device", "device", str, "cpu or cuda. [cuda where there is one]"),
)


def read_spec(path: Path | None, flags: Mapping[str, Any], settings: list[str], *, trust_code: bool = False) -> RunSpec:
    """The spec of a file, with flags and `KEY=VALUE` settings on top.

    Raises:
        SettingsError: see `RunSpec`; a setting without `=`; two words that set the same; a dotted network name that the
            file gives, and no flag.
    """
    found: dict[str, Any] = {}
    typed: dict[str, str] = {}
    for flag in FLAGS:
        if not _absent(value := _one(flag, flags.get(flag.argument))):
            _add(found, typed, flag.name, _fields(flag, value))
    for text in settings:
        key, value = setting(text)
        _add(found, typed, f"--set {key}", {key: value})
    if path is None:
        return RunSpec.from_flags(found, typed=typed)
    spec = RunSpec.from_toml(path, found, typed=typed)
    require_trusted(spec.model, f"`{path}`", trust_code=trust_code or not {"model", "model.name"}.isdisjoint(typed))
    return spec


def _fields(flag: Flag, value: Any) -> dict[str, Any]:
    """The fields that a flag sets; a preset without arguments of its own takes away those of the file."""
    read = flag.read(value)
    if flag.name != "--plan":
        return {flag.key: read}
    return {"plan.preset": read["preset"], "plan.args": read["args"]}


def _one(flag: Flag, given: Any) -> Any:
    if flag.kind in (bool, list[str]) or not isinstance(given, list):
        return given
    if len(given) > 1:
        raise SettingsError(
            f"`{flag.name}` is given {len(given)} times",
            why="which of them is meant is not for Tether to guess",
            fix=f"give `{flag.name}` once",
        )
    return _read(flag.kind, given[0]) if given else None


def _read(kind: Any, text: str) -> Any:
    """A number where the text is one; what it is instead is for the spec to tell."""
    if kind is int and WHOLE.fullmatch(text):
        return int(text)
    if kind is float and "_" not in text:
        with suppress(ValueError):
            return float(text)
    return text


def _add(found: dict[str, Any], typed: dict[str, str], word: str, settings: Mapping[str, Any]) -> None:
    for key, value in settings.items():
        for other, held in found.items():
            is_open = other == "plan.args" and not held and key != other  # `--plan l2_sp` leaves its arguments open
            if _overlap(key, other) and not is_open:
                raise SettingsError(
                    f"`{terminal(typed[other])}` and `{terminal(word)}` set the same",
                    why="which of them is meant is not for Tether to guess",
                    fix="leave out one of them",
                )
        found[key], typed[key] = value, word


def _overlap(one: str, other: str) -> bool:
    """Whether a key is the other, or lies in it."""
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def beside_resume(run: Path) -> SettingsError:
    """Say that a run which goes on takes no settings."""
    return SettingsError(
        f"`--resume {run}` stands beside other settings",
        why="a run goes on as it began, by the spec in its folder",
        fix=f"tether fit --resume {run}; or leave --resume out and give a new --out",
    )


def takes_spec(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that takes a `RunSpec` first the argument SPEC and every flag instead.

    One that takes `trust_code` too is told whether code that a file names may run; one whose spec may be None gets that
    where no setting is given at all.
    """
    wanted = inspect.signature(command).parameters
    asks = "trust_code" in wanted
    may_lack = type(None) in get_args(next(iter(wanted.values())).annotation)

    def run(**values: Any) -> None:
        flags = {flag.argument: values.pop(flag.argument) for flag in FLAGS}
        trust_code = values["trust_code"] if asks else values.pop("trust_code")
        path, settings = values.pop("spec"), values.pop("settings") or []
        silent = path is None and not settings and all(_absent(value) for value in flags.values())
        if values.get("resume") is not None and not silent:
            raise beside_resume(values["resume"])
        spec = None if may_lack and silent else read_spec(path, flags, settings, trust_code=trust_code)
        command(spec, **values)

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        _parameter("spec", Path, None, typer.Argument(help="TOML spec; flags change it.", show_default=False))
    ]
    for flag in FLAGS:
        default = False if flag.kind is bool else None
        option = typer.Option(flag.name, help=flag.help, show_default=False, metavar=METAVARS.get(flag.kind))
        kind = bool if flag.kind is bool else list[str]  # so that one given twice is seen, and read in words of ours
        parameters.append(_parameter(flag.argument, kind, default, option))
    settings = typer.Option("--set", help="Any field of the spec.", show_default=False, metavar="KEY=VALUE")
    parameters.append(_parameter("settings", list[str], None, settings))
    trust = typer.Option("--trust-code", help="Run the code that SPEC names as its network.")
    parameters.append(_parameter("trust_code", bool, False, trust))
    own = [p.replace(kind=keyword) for name, p in list(wanted.items())[1:] if name != "trust_code"]
    run.__signature__ = inspect.Signature([*parameters, *own])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in [*parameters, *own]}
    run.__doc__ = command.__doc__
    return run


def _parameter(name: str, kind: Any, default: Any, option: Any) -> inspect.Parameter:
    annotation: Any = Annotated[kind if default is not None else kind | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _absent(value: Any) -> bool:
    return value is None or value is False or value == []  # 0 is a value
