"""RunSpec: the tree of settings of one run, TOML in and TOML out."""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tether.errors import SettingsError
from tether.registry import did_you_mean

VERSION = 1
UNION = ("constrained-float", "str")
"""What pydantic puts into the place of an error for each of two types that a value may have."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Channel = Annotated[float, Field(allow_inf_nan=False)]


class Section(BaseModel):
    """A frozen table of settings in which an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSpec(Section):
    """Which network is trained: `timm:NAME`, one of our own small nets, or any `package.module:Callable`."""

    name: str = Field(min_length=1)
    args: dict[str, Any] = Field(
        default={}, description="keyword arguments of the network beside its number of classes"
    )


class SourceSpec(Section):
    """Where parameters come from and how they are matched."""

    path: str = Field(min_length=1, description="a checkpoint, a run folder, timm:NAME, or a catalogued name")
    by: Literal["name", "order"] | None = Field(
        default=None, description="pair parameters by name or in order; by name when the catalogue does not say"
    )
    rename: tuple[tuple[str, str], ...] = Field(default=(), description="regex and replacement, source to target")
    exclude: tuple[str, ...] = Field(default=(), description="globs of target parameters that stay new")
    coverage: Fraction = Field(default=0.5, description="least share of the target's values that must transfer")
    classes: str | None = Field(default=None, description="file of the source's class names, one a line")
    head: Literal["zero", "random"] = Field(
        default="zero", description="where the head's new rows start: at zero, or as the network draws them"
    )
    data: str | None = Field(default=None, description="pictures of the source task, to measure what is kept")


class DataSpec(Section):
    """Which pictures, and how they are split."""

    path: str = Field(min_length=1, description="a folder of class folders, a CSV of path,label, or `digits`")
    root: str | None = Field(
        default=None,
        min_length=1,
        description="folder that a table's paths are relative to; the table's own when not given",
    )
    per_class: Count | None = Field(default=None, description="training pictures a class; the rest is the test set")
    test: Fraction = Field(default=0.2, description="share held out for test where the data has no split of its own")
    validation: Fraction | None = Field(
        default=None, description="share of the training pictures; below 10 a class none"
    )
    augment: Literal["none", "shift", "photo"] | None = Field(
        default=None, description="by picture size when not given"
    )
    skip_bad: bool = Field(default=False, description="leave unreadable pictures out instead of refusing")


class PreprocessingSpec(Section):
    """How a picture becomes a tensor; it belongs to the source, and what the source does not say must be given."""

    size: Annotated[int, Field(ge=4, le=4096)] | None = None
    channels: Literal[1, 3] | None = None
    mean: tuple[Channel, ...] | None = None
    std: tuple[Positive, ...] | None = None
    padding: Literal["same", "symmetric"] | None = Field(default=None, description="of strided convolutions")


class PlanSpec(Section):
    """The penalty: a preset with its arguments, or expressions for the transferred and the new parameters."""

    preset: str | None = None
    args: dict[str, NonNegative | str] = {}
    transferred: str | None = Field(default=None, description='such as "L2(0.01) + L1(1e-4)"')
    new: str | None = None
    overrides: dict[str, str] = Field(default={}, description='glob to expression, or to "none"')
    scale: NonNegative = Field(default=1.0, description="multiplies every strength")
    via: Literal["gradient", "prox"] | None = None
    metric: Literal["identity", "optimizer"] | None = Field(
        default=None, description="of a prox: optimizer takes the optimiser's step for each value"
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.preset is not None and (self.transferred or self.new):
            raise ValueError("`preset` and `transferred`/`new` exclude each other: give one of them")
        if self.args and self.preset is None:
            raise ValueError("`args` are the arguments of a preset, and none is named")
        return self


class FisherSpec(Section):
    """The source's Fisher information, for the presets that weigh a displacement by it."""

    kind: Literal["exact", "sampled", "empirical"] = Field(
        default="exact", description="mean over all classes, over one drawn, or the given labels'"
    )
    draws: Count = Field(default=1, description="classes drawn for each picture by sampled")
    data: Literal["source", "target"] | None = Field(
        default=None, description="whose pictures; the source's where `source.data` is given, else the target's"
    )
    count: Count = Field(default=1000, description="pictures at most, drawn by the seed")
    floor: NonNegative = Field(default=0.0, description="added to every value")
    normalise: bool = Field(default=False, description="divide by the mean of all values first")


class OptimizerSpec(Section):
    """The optimiser; it has no weight decay of its own, since that is the plan's."""

    name: Literal["adamw", "sgd"] = "adamw"
    lr: Positive | None = Field(default=None, description="peak rate; adamw 3e-4, sgd 3e-3; from scratch 1e-3, 1e-2")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.9, description="of sgd")
    warmup: Fraction = Field(default=0.1, description="share of the steps before the cosine")


class TrainSpec(Section):
    """How long, and when to stop."""

    epochs: Count | None = Field(default=None, description="15 when not given, or as many as make 60 steps")
    batch_size: Count = 20
    loss: str = Field(
        default="Classify()", description='what a batch adds up to, such as "Classify() + 0.5 * LogitDistill()"'
    )
    patience: Count | None = Field(default=None, description="epochs without progress on validation before stopping")


class RunSpec(Section):
    """All settings of one run.

    Raises:
        SettingsError: an unknown key (with the nearest known one), a wrong type, a value out of range, a contradiction,
            or a spec of a newer version.

    >>> spec = RunSpec.parse({"model": {"name": "digits-cnn"}, "data": {"path": "digits"}})
    >>> spec.replace({"train.epochs": 3}).train.epochs
    3
    >>> RunSpec.parse(tomllib.loads(spec.to_toml())) == spec
    True

    """

    version: Literal[1] = 1
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    batchnorm: Literal["source", "update"] = Field(
        default="source", description="statistics of transferred layers: as in the source, or updated"
    )
    threads: Count | None = Field(default=None, description="of torch; 1 for small nets when not given")
    probe: bool = Field(default=False, description="put a linear probe on the source's features beside the result")
    device: Literal["cpu", "cuda"] | None = Field(
        default=None, description="cpu or cuda; cuda where there is one when not given"
    )
    model: ModelSpec
    source: SourceSpec | None = None
    data: DataSpec
    preprocessing: PreprocessingSpec = PreprocessingSpec()
    plan: PlanSpec = PlanSpec()
    fisher: FisherSpec = FisherSpec()
    optimizer: OptimizerSpec = OptimizerSpec()
    train: TrainSpec = TrainSpec()

    @classmethod
    def parse(cls, tree: Mapping[str, Any], *, origin: str = "the settings") -> Self:
        """Check a tree of settings; `origin` is named in the error."""
        version = tree.get("version", VERSION)
        if isinstance(version, int) and version > VERSION:
            raise SettingsError(
                f"{origin} is of version {version}, and this Tether reads up to {VERSION}",
                fix="pip install --upgrade tether-ft",
            )
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            raise _refusal(cls, error, origin) from None

    @classmethod
    def from_toml(cls, path: Path | str, overrides: Mapping[str, Any] | None = None) -> Self:
        """Read a TOML file, with dotted `overrides` on top."""
        return cls.parse(_set_dotted(read_toml(path), overrides or {}), origin=f"`{path}`")

    @classmethod
    def from_flags(cls, flags: Mapping[str, Any]) -> Self:
        """Build a spec from dotted settings alone."""
        return cls.parse(_set_dotted({}, flags), origin="the command line")

    def replace(self, settings: Mapping[str, Any]) -> Self:
        """Return a copy with dotted `settings` changed, checked again."""
        return type(self).parse(_set_dotted(self.model_dump(exclude_none=True), settings))

    def to_toml(self) -> str:
        """Write every setting that has a value; reading it back gives an equal spec."""
        return tomli_w.dumps(_plain(self.model_dump(exclude_none=True)))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of all settings."""
        canonical = json.dumps(self.model_dump(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def read_toml(path: Path | str) -> dict[str, Any]:
    """Parse a TOML file, naming it and the line where it cannot be."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise SettingsError(
            f"there is no file `{path}`", fix="give the path of a TOML spec, or settings as flags"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise SettingsError(
            f"`{path}` is not TOML: {error}", fix="see `tether fit --print-spec` for a whole one"
        ) from None


def _set_dotted(tree: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in settings.items():
        *tables, leaf = key.split(".")
        table = tree
        for name in tables:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise SettingsError(f"`{key}`: `{name}` is a value, not a table")
        table[leaf] = value
    return tree


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _refusal(cls: type[BaseModel], error: ValidationError, origin: str) -> SettingsError:
    first = error.errors(include_url=False)[0]
    path = [part for part in first["loc"] if isinstance(part, str) and part not in UNION]
    key = ".".join(path)
    others = {one["loc"][: len(path)] for one in error.errors(include_url=False)}
    more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
    if first["type"] == "extra_forbidden":
        return SettingsError(
            f"{origin}: there is no setting `{key}`{more}", fix=did_you_mean(path[-1], _fields_at(cls, path[:-1]))
        )
    if first["type"] == "missing":
        return SettingsError(f"{origin}: `{key}` must be given{more}", fix=f"--{path[0]}, or [{path[0]}] in the spec")
    given = "" if isinstance(first["input"], dict | BaseModel) else f", got {first['input']!r}"
    where = f"`{key}`: " if key else ""
    message = first["msg"].removeprefix("Value error, ")
    return SettingsError(f"{origin}: {where}{message[0].lower()}{message[1:]}{given}{more}")


def _fields_at(cls: type[BaseModel], path: list[str]) -> list[str]:
    for name in path:
        annotation: Any = cls.model_fields[name].annotation
        sections = [a for a in (annotation, *getattr(annotation, "__args__", ())) if isinstance(a, type)]
        cls = next(a for a in sections if issubclass(a, BaseModel))
    return list(cls.model_fields)
