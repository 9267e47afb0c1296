"""Labels: accuracy of every method by how many training pictures there are."""

from collections.abc import Sequence

from tether.report.chosen import chosen
from tether.report.table import Cell, Column, Table
from tether.study.comparison import Comparison, Group

AMOUNTS = ("data.fraction", "data.per_class")
Family = tuple[str, tuple[Group, ...]]


def families(found: Comparison) -> list[Family]:
    """Groups that differ in the number of training pictures only, by rising number, with what they share in words."""
    alike: dict[str, list[Group]] = {}
    for group in found.groups:
        rest = {key: value for key, value in group.settings.items() if key not in AMOUNTS}
        if len(rest) < len(group.settings) and group.counts.get("train"):
            alike.setdefault(" · ".join(f"{key} {value}" for key, value in rest.items()), []).append(group)
    sorted_ = ((name, sorted(groups, key=lambda one: one.counts["train"])) for name, groups in alike.items())
    return [(name, tuple(groups)) for name, groups in sorted_ if len({one.counts["train"] for one in groups}) > 1]


def labels(family: Family) -> Table:
    """A row a method and number of pictures."""
    name, groups = family
    columns = (
        Column.of("method", "method"),
        Column.of("training pictures", "train_pictures", number=True),
        Column.of("chosen", "chosen"),
        Column.interval("accuracy", "accuracy"),
    )
    caption = "Accuracy by the number of training pictures, on this test set, over seeds"
    return Table("labels", caption, columns, tuple(_rows(groups)), name, heads=2)


def _rows(groups: Sequence[Group]) -> list[tuple[Cell, ...]]:
    found = [(method, group, one) for group in groups for method, one in chosen(group)]
    order = {method.name: place for place, (method, _, _) in enumerate(reversed(found))}
    found.sort(key=lambda row: (-order[row[0].name], row[1].counts["train"]))
    return [
        (
            Cell.method(method.name),
            Cell.count(group.counts["train"]),
            Cell.name(one.name),
            Cell.mean(one.means.get("accuracy")),
        )
        for method, group, one in found
    ]
