"""Contradictions: settings of which each is right, and which cannot be meant together."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tether.errors import SettingsError

if TYPE_CHECKING:
    from tether.spec import PlanSpec, RunSpec


def refuse_contradiction(spec: "RunSpec") -> None:
    """Raise where two settings exclude each other, or one has no effect beside the other.

    A default is never one: a run writes them all into its spec. Nor is a section that another plan would need, such as
    [fisher], since a spec is tried with one plan after another.

    Raises:
        SettingsError: the first of them.
    """
    for found in (*_plan(spec.plan), *_data(spec), *_source(spec), *_optimiser(spec), *_preprocessing(spec)):
        raise found


def _plan(plan: "PlanSpec") -> Iterator[SettingsError]:
    if plan.preset is not None and (plan.transferred is not None or plan.new is not None):
        yield SettingsError(
            "`plan.preset` and `plan.transferred` or `plan.new` exclude each other",
            why="a preset says itself what holds the transferred and the new parameters",
            fix="give one of them, and change single parameters by [plan.overrides]",
        )
    if plan.args and plan.preset is None:
        yield SettingsError(
            "`plan.args` are the arguments of a preset, and none is named",
            why="an expression holds its own strengths",
            fix='`preset = "l2_sp"` under [plan], or leave `args` out',
        )
    if "fisher" in plan.args:
        yield SettingsError(
            "`plan.args.fisher` cannot be written in a spec",
            why="the information is computed from pictures",
            fix="leave it out, and say in [fisher] how it is computed",
        )
    if plan.metric == "optimizer" and plan.via == "gradient":
        yield SettingsError(
            '`plan.metric = "optimizer"` and `plan.via = "gradient"` exclude each other',
            why="the metric is that of a prox; a gradient is in the optimiser's metric anyhow",
            fix='`via = "prox"`, or leave `metric` out',
        )


def _data(spec: "RunSpec") -> Iterator[SettingsError]:
    data = spec.data
    for name, share in (("test", data.test), ("validation", data.validation)):
        if share == 1:
            yield SettingsError(
                f"`data.{name} = 1` leaves nothing to train on",
                why="it is a share of the pictures",
                fix=f"`{name} = 0.2` under [data]",
            )
    if data.per_class is not None and data.fraction is not None:
        yield SettingsError(
            f"`data.per_class = {data.per_class}` and `data.fraction = {data.fraction}` exclude each other",
            why="both say how many training pictures are used",
            fix="leave out one of the two",
        )
    is_rest = data.per_class is not None and data.test_seed is None
    if is_rest and data.test != type(data).model_fields["test"].default:
        yield SettingsError(
            f"`data.test = {data.test}` has no effect beside `data.per_class = {data.per_class}`",
            why="with so many training pictures a class, all others are the test set, unless `data.test_seed` is given",
            fix="leave out one of the two, or give `test_seed`",
        )
    if spec.train.patience is not None and data.validation == 0:
        yield SettingsError(
            "`train.patience` needs validation pictures, and `data.validation` is 0",
            why="progress is measured on them",
            fix="--validation 0.2, or leave `patience` out",
        )


def _source(spec: "RunSpec") -> Iterator[SettingsError]:
    if spec.probe and spec.source is None:
        yield SettingsError("`probe` needs a source", why="it measures the source's features", fix="--source …")
    if spec.fisher.data == "source" and spec.source is not None and spec.source.data is None:
        yield SettingsError(
            '`fisher.data = "source"` needs the source\'s pictures',
            why="the information is computed from them",
            fix="--source-data …, or leave it out for the target's",
        )
    if spec.fisher.draws != 1 and spec.fisher.kind != "sampled":
        yield SettingsError(
            f'`fisher.draws = {spec.fisher.draws}` has no effect beside `fisher.kind = "{spec.fisher.kind}"`',
            why="only `sampled` draws classes",
            fix='`kind = "sampled"` under [fisher], or leave `draws` out',
        )


def _optimiser(spec: "RunSpec") -> Iterator[SettingsError]:
    optimizer = spec.optimizer
    if optimizer.name != "sgd" and optimizer.momentum != type(optimizer).model_fields["momentum"].default:
        yield SettingsError(
            f'`optimizer.momentum = {optimizer.momentum}` has no effect beside `optimizer.name = "{optimizer.name}"`',
            why="it is the momentum of sgd; AdamW has its own",
            fix='`name = "sgd"` under [optimizer], or leave `momentum` out',
        )


def _preprocessing(spec: "RunSpec") -> Iterator[SettingsError]:
    given = spec.preprocessing
    for name, values in (("mean", given.mean), ("std", given.std)):
        if values is not None and given.channels is not None and len(values) not in (1, given.channels):
            yield SettingsError(
                f"`preprocessing.{name}` has {len(values)} values for {given.channels} channels",
                why="each channel has one, or all have the same",
                fix=f"give 1 value or {given.channels}",
            )
