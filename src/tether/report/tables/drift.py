"""Drift: how far each layer and the outputs of each chosen candidate have moved from the source."""

from tether.report.chosen import chosen
from tether.report.table import Cell, Column, Table
from tether.study.comparison import Group


def drift(group: Group) -> Table:
    """A row a layer of a method."""
    columns = (
        Column.of("method", "method"),
        Column.of("layer", "layer"),
        Column.of("‖δ‖ / ‖w₀‖", "relative", number=True),
        Column.of("‖δ‖", "norm", number=True),
        Column.of("MARS norm", "mars", number=True),
    )
    rows = tuple(
        (
            Cell.method(method.name),
            Cell.name(layer.layer),
            Cell.brief(layer.relative),
            Cell.brief(layer.norm),
            Cell.brief(layer.mars),
        )
        for method, one in chosen(group)
        for layer in one.drift
    )
    return Table("drift", "Displacement by layer, means over seeds", columns, rows, group.name, heads=2)


def outputs(group: Group) -> Table:
    """A row a method: how far its outputs are from the source model's, on target pictures."""
    columns = (
        Column.of("method", "method"),
        Column.of("same class as the source", "agreement", number=True),
        Column.of("KL from the source, nats", "kl", number=True),
        Column.of("features moved ‖Δf‖ / ‖f₀‖", "features", number=True),
    )
    rows = tuple(
        (
            Cell.method(method.name),
            Cell.number(one.outputs.get("agreement")),
            Cell.brief(one.outputs.get("kl")),
            Cell.brief(one.outputs.get("features")),
        )
        for method, one in chosen(group)
        if one.outputs
    )
    caption = "How far the outputs of the source's head move, on target pictures"
    return Table("outputs", caption, columns, rows, group.name)
