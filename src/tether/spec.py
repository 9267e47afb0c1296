"""RunSpec: the tree of settings of one run, TOML in and TOML out."""

import hashlib
import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)

from tether.contradiction import refuse_contradiction
from tether.errors import SettingsError
from tether.escaping import terminal
from tether.fields import Field as Known
from tether.fields import fields
from tether.refusal import refusal, shown
from tether.settings import read_toml, refuse_unbounded, to_toml, walk, with_settings

VERSION = 1


def _whole(value: Any) -> Any:
    """For choices between whole numbers: Python takes true and 1.0 for 1."""
    if type(value) is not int:
        raise ValueError
    return value


def _finite(value: Any) -> Any:
    """For values of any kind: what is no number would not be equal to itself, and JSON has no word for it."""
    for _, part in walk(value):
        if part is None or (isinstance(part, float) and not math.isfinite(part)):
            raise ValueError
    return value


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Epochs = Annotated[int, Field(ge=0, le=1_000_000_000)]
Threads = Annotated[int, Field(ge=1, le=4096)]
Text = Annotated[str, Field(min_length=1)]
Channel = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Deviation = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Channels = Annotated[Literal[1, 3], BeforeValidator(_whole)]
Momentum = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Argument = Annotated[JsonValue, AfterValidator(_finite)]
Rename = Annotated[tuple[Text, str], Field(strict=False)]


class Section(BaseModel):
    """A frozen table of settings in which an unknown key is an error, and so is a value of another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ModelSpec(Section):
    """Which network is trained: `timm:NAME`, one of our own small nets, or any `package.module:Callable`."""

    name: Text = Field(description="timm:NAME, digits-cnn, cifar-resnet20, or package.module:Callable")
    args: dict[str, Argument] = Field(
        default={}, description="keyword arguments of the network beside its number of classes"
    )


class SourceSpec(Section):
    """Where parameters come from and how they are matched."""

    path: str = Field(min_length=1, description="a checkpoint, a run folder, timm:NAME, or a catalogued name")
    by: Literal["name", "order"] | None = Field(
        default=None, description="pair parameters by name or in order; by name when the catalogue does not say"
    )
    rename: tuple[Rename, ...] = Field(default=(), strict=False, description="regex and replacement, source to target")
    exclude: tuple[Text, ...] = Field(default=(), strict=False, description="globs of target parameters that stay new")
    coverage: Fraction = Field(default=0.5, description="least share of the target's values that must transfer")
    classes: Text | None = Field(default=None, description="file of the source's class names, one a line")
    head: Literal["zero", "random", "probe"] = Field(
        default="zero",
        description="where the head starts: new rows at zero or as the network draws them; or all at a linear probe",
    )
    data: Text | None = Field(default=None, description="pictures of the source task, to measure what is kept")
    unlabelled: Text | None = Field(
        default=None, description="pictures without labels, to measure how far outputs move from the source's"
    )


class DataSpec(Section):
    """Which pictures, and how they are split."""

    path: str = Field(min_length=1, description="a folder of class folders, a CSV of path,label, or `digits`")
    root: str | None = Field(
        default=None,
        min_length=1,
        description="folder that a table's paths are relative to; the table's own when not given",
    )
    per_class: Count | None = Field(default=None, description="training pictures a class; the rest is the test set")
    fraction: Share | None = Field(default=None, description="share of each class's training pictures that is used")
    test: Fraction = Field(default=0.2, description="share held out for test where the data has no split of its own")
    test_seed: Seed | None = Field(
        default=None, description="draws the test part, so that it is one for all seeds; the run's seed when not given"
    )
    validation: Fraction | None = Field(
        default=None, description="share of the training pictures; below 10 a class none"
    )
    augment: Literal["none", "shift", "photo"] | None = Field(
        default=None, description="by picture size when not given"
    )
    skip_bad: bool = Field(default=False, description="leave unreadable pictures out instead of refusing")


class PreprocessingSpec(Section):
    """How a picture becomes a tensor; it belongs to the source, and what the source does not say must be given."""

    size: Annotated[int, Field(ge=4, le=4096)] | None = Field(default=None, description="side in pixels")
    channels: Channels | None = Field(default=None, description="1 is gray, 3 is colour")
    mean: tuple[Channel, ...] | None = Field(
        default=None, strict=False, min_length=1, max_length=3, description="of each channel, where white is 1"
    )
    std: tuple[Deviation, ...] | None = Field(
        default=None,
        strict=False,
        min_length=1,
        max_length=3,
        description="deviation of each channel, where white is 1",
    )
    padding: Literal["same", "symmetric"] | None = Field(default=None, description="of strided convolutions")


class PlanSpec(Section):
    """The penalty: a preset with its arguments, or expressions for the transferred and the new parameters."""

    preset: Text | None = Field(
        default=None, description="l2_sp with a source and none without, where no expression is given either"
    )
    args: dict[str, NonNegative | str] = Field(default={}, description="arguments of the preset, by name")
    transferred: Text | None = Field(
        default=None, description='penalty of the transferred parameters, such as "L2(0.01) + L1(1e-4)"'
    )
    new: Text | None = Field(default=None, description="penalty of the new parameters")
    overrides: dict[str, Text] = Field(default={}, description='glob to expression, or to "none"')
    scale: NonNegative = Field(default=1.0, description="multiplies every strength")
    via: Literal["gradient", "prox"] | None = Field(
        default=None, description="before the optimiser's step or after it; as the preset does, else by prox"
    )
    metric: Literal["identity", "optimizer"] | None = Field(
        default=None, description="of a prox: optimizer takes the optimiser's step for each value"
    )


class FisherSpec(Section):
    """The source's Fisher information, for the presets that weigh a displacement by it."""

    kind: Literal["exact", "sampled", "empirical"] = Field(
        default="exact", description="mean over all classes, over one drawn, or the given labels'"
    )
    draws: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=1, description="classes drawn for each picture by sampled"
    )
    data: Literal["source", "target"] | None = Field(
        default=None, description="whose pictures; the source's where `source.data` is given, else the target's"
    )
    count: Count = Field(default=1000, description="pictures at most, drawn by the seed")
    floor: NonNegative = Field(default=0.0, description="added to every value")
    normalise: bool = Field(default=False, description="divide by the mean of all values first")


class OptimizerSpec(Section):
    """The optimiser; it has no weight decay of its own, since that is the plan's."""

    name: Literal["adamw", "sgd"] = Field(default="adamw", description="AdamW, or SGD with momentum")
    lr: Positive | None = Field(default=None, description="peak rate; adamw 3e-4, sgd 3e-3; from scratch 1e-3, 1e-2")
    momentum: Momentum = Field(default=0.9, description="of sgd")
    warmup: Fraction = Field(default=0.1, description="share of the steps before the cosine")


class TrainSpec(Section):
    """How long, and when to stop."""

    epochs: Epochs | None = Field(
        default=None, description="15 when not given, or as many as make 60 steps; 0 trains nothing"
    )
    batch_size: Count = Field(default=20, description="pictures a step")
    loss: Text = Field(
        default="Classify()", description='what a batch adds up to, such as "Classify() + 0.5 * LogitDistill()"'
    )
    patience: Count | None = Field(default=None, description="epochs without progress on validation before stopping")
    auto_batch: bool = Field(
        default=False, description="where memory runs out, halve what goes through the network at once"
    )


class CheckpointSpec(Section):
    """When the state of training is saved, beside the first step, the last one, and a signal to stop."""

    every: Count | None = Field(
        default=None, description="steps between saves; when not given, about every 30 s and in at most 5 % of the time"
    )
    keep: Annotated[int, Field(ge=1, le=1_000_000)] = Field(default=2, description="how many are kept")


class RunSpec(Section):
    """All settings of one run.

    Raises:
        SettingsError: an unknown key (with the nearest known one), a wrong type, a value out of range, a contradiction,
            or a spec of a newer version.

    >>> spec = RunSpec.parse({"model": {"name": "digits-cnn"}, "data": {"path": "digits"}})
    >>> spec.replace({"train.epochs": 3}).train.epochs
    3
    >>> import tomllib
    >>> RunSpec.parse(tomllib.loads(spec.to_toml())) == spec
    True

    """

    version: Annotated[Literal[1], BeforeValidator(_whole)] = Field(default=1, description="of the spec's format")
    seed: Seed = Field(default=0, description="of the split, a new head, the order, and augmentation")
    batchnorm: Literal["source", "update"] = Field(
        default="source", description="statistics of transferred layers: as in the source, or updated"
    )
    threads: Threads | None = Field(default=None, description="of torch; 1 for small nets when not given")
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
    checkpoint: CheckpointSpec = CheckpointSpec()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse_contradiction(self)
        return self

    @classmethod
    def parse(
        cls, tree: Mapping[str, Any], *, origin: str = "the settings", typed: Mapping[str, str] | None = None
    ) -> Self:
        """Check a tree of settings.

        Args:
            origin: where it is from, named in an error.
            typed: how settings were spelled on the command line, by key; an error names them so.
        """
        refuse_unbounded(tree, origin)
        _refuse_version(tree, origin)
        try:
            return cls.model_validate(dict(tree))
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False)
            raise refusal(_known(cls), tree, found, origin=origin, typed=typed or {}) from None
        except SettingsError as error:
            raise SettingsError(f"{origin}: {error.what}", why=error.why, fix=error.fix) from None

    @classmethod
    def from_toml(
        cls, path: Path | str, overrides: Mapping[str, Any] | None = None, *, typed: Mapping[str, str] | None = None
    ) -> Self:
        """Read a TOML file, with dotted `overrides` on top."""
        return cls.parse(with_settings(read_toml(path), overrides or {}), origin=f"`{terminal(path)}`", typed=typed)

    @classmethod
    def from_flags(cls, flags: Mapping[str, Any], *, typed: Mapping[str, str] | None = None) -> Self:
        """Build a spec from dotted settings alone."""
        return cls.parse(with_settings({}, flags), origin="the command line", typed=typed)

    def replace(self, settings: Mapping[str, Any]) -> Self:
        """Return a copy with dotted `settings` changed, checked again."""
        return type(self).parse(with_settings(self.model_dump(exclude_none=True), settings))

    def to_toml(self) -> str:
        """Write every setting that has a value; reading it back gives an equal spec."""
        return to_toml(self.model_dump(exclude_none=True))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of all settings."""
        canonical = json.dumps(self.model_dump(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


@cache
def _known(cls: type[RunSpec]) -> Mapping[str, Known]:
    return fields(cls.model_json_schema())


def _refuse_version(tree: Mapping[str, Any], origin: str) -> None:
    version = tree.get("version", VERSION)
    if type(version) is int and version > VERSION:
        raise SettingsError(
            f"{origin}: `version` is {version}, and this Tether reads up to {VERSION}",
            why="a newer one may mean something else by the same words",
            fix="pip install --upgrade tether-ft",
        )
    if type(version) is not int or version != VERSION:
        raise SettingsError(
            f"{origin}: `version` is {shown(version)}", why=f"there is only {VERSION}", fix=f"`version = {VERSION}`"
        )
