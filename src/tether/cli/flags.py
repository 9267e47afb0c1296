"""Flags of the commands that take a spec: each is a field of it."""

import ast
import inspect
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from tether.errors import SettingsError
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


def numbers(text: str) -> list[float]:
    """Read `0.5` or `0.485,0.456,0.406`.

    >>> numbers("0.5,0.25")
    [0.5, 0.25]
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise SettingsError(f"`{text}` is not a number, nor numbers with commas between") from None


def plan_words(text: str) -> dict[str, Any]:
    """Read a preset, with its arguments in parentheses if any.

    >>> plan_words("l2_sp(alpha=1, beta=0.01)")
    {'preset': 'l2_sp', 'args': {'alpha': 1.0, 'beta': 0.01}}
    """
    try:
        match ast.parse(text.strip(), mode="eval").body:
            case ast.Name(id=name):
                return {"preset": name, "args": {}}
            case ast.Constant(value=None):
                return {"preset": "none", "args": {}}
            case ast.Call(func=ast.Name(id=name), args=[], keywords=words):
                return {"preset": name, "args": {str(w.arg): _argument(ast.literal_eval(w.value)) for w in words}}
    except (SyntaxError, ValueError, TypeError):
        pass
    raise SettingsError(
        f"`--plan {text}` is neither a preset nor a preset with arguments",
        fix='--plan l2_sp, --plan "l2_sp(alpha=1)", or --set \'plan.transferred="L2(0.1) + L1(1e-4)"\'',
    )


def _argument(value: Any) -> float | str:
    return value if isinstance(value, str) else float(value)


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
    Flag("--rename", "source.rename", list[str], "REGEX=REPLACEMENT on source names; repeatable."),
    Flag("--exclude", "source.exclude", list[str], "Glob of parameters that stay new; repeatable."),
    Flag("--coverage", "source.coverage", float, "Least share that must transfer. [0.5]"),
    Flag("--source-classes", "source.classes", str, "File of the source's class names, one a line."),
    Flag("--source-data", "source.data", str, "Source task's pictures: measures what is kept."),
    Flag("--optimizer", "optimizer.name", str, "adamw or sgd. [adamw]"),
    Flag("--lr", "optimizer.lr", float, "Peak rate. [adamw 3e-4, sgd 3e-3; scratch 3 × more]"),
    Flag("--epochs", "train.epochs", int, "Passes over the pictures. [15, or 60 steps]"),
    Flag("--batch-size", "train.batch_size", int, "Pictures a step. [20]"),
    Flag("--patience", "train.patience", int, "Epochs to wait for progress on validation."),
    Flag("--probe", "probe", bool, "Put a linear probe beside the result."),
    Flag("--seed", "seed", int, "Of split, new head, order, augmentation. [0]"),
    Flag("--threads", "threads", int, "Of torch. [1 for small nets, else all cores]"),
    Flag("--device", "device", str, "cpu or cuda. [cuda where there is one]"),
)


def read_spec(path: Path | None, flags: Mapping[str, Any], settings: list[str], *, trust_code: bool = False) -> RunSpec:
    """The spec of a file, with flags and `KEY=VALUE` settings on top.

    Raises:
        SettingsError: see `RunSpec`; a setting without `=`; a dotted network name that the file gives, and no flag.
    """
    given = {flag: flags.get(flag.argument) for flag in FLAGS}
    found = {flag.key: flag.read(value) for flag, value in given.items() if not _absent(value)}
    if isinstance(plan := found.pop("plan", None), dict):
        found |= {f"plan.{key}": value for key, value in plan.items()}
    if "source.rename" in found:
        found["source.rename"] = [rename_pair(text) for text in found["source.rename"]]
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise SettingsError(f"`--set {setting}` has no `=`", fix="--set optimizer.warmup=0.2")
        found[key.strip()] = _value(value.strip())
    if path is None:
        return RunSpec.from_flags(found)
    spec = RunSpec.from_toml(path, found)
    require_trusted(spec.model, str(path), trust_code=trust_code or "model.name" in found)
    return spec


def takes_spec(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that takes a `RunSpec` first the argument SPEC and every flag instead.

    One that takes `trust_code` too is told whether code that a file names may run.
    """
    wanted = inspect.signature(command).parameters
    asks = "trust_code" in wanted

    def run(**values: Any) -> None:
        flags = {flag.argument: values.pop(flag.argument) for flag in FLAGS}
        trust_code = values["trust_code"] if asks else values.pop("trust_code")
        spec = read_spec(values.pop("spec"), flags, values.pop("settings") or [], trust_code=trust_code)
        command(spec, **values)

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        _parameter("spec", Path, None, typer.Argument(help="TOML spec; flags change it.", show_default=False))
    ]
    for flag in FLAGS:
        default = False if flag.kind is bool else None
        option = typer.Option(flag.name, help=flag.help, show_default=False, metavar=METAVARS.get(flag.kind))
        parameters.append(_parameter(flag.argument, flag.kind, default, option))
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


def rename_pair(text: str) -> list[str]:
    """Read `REGEX=REPLACEMENT`.

    Raises:
        SettingsError: there is no `=`.
    """
    pattern, equals, replacement = text.partition("=")
    if not equals:
        raise SettingsError(f"`--rename {text}` has no `=`", fix="--rename '^encoder\\.=backbone.'")
    return [pattern, replacement]


def _absent(value: Any) -> bool:
    return value is None or value is False or value == []  # 0 is a value


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
