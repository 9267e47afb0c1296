"""Origin: the limits of what is said, and what it takes to make the study again."""

from tether.escaping import json_text
from tether.report.scene import Scene
from tether.report.section import Code, Part, Prose, Section, Shown
from tether.report.table import Cell, Column, Table


def limits(scene: Scene) -> Section:
    """The notes."""
    notes = scene.found.notes or ("There is nothing to add.",)
    return Section("limits", "Limits of what is said", (Prose(notes, is_list=True),))


def origin(scene: Scene) -> Section:
    """The command, the spec, the environments and the fingerprint of the data."""
    found = scene.found
    parts: list[Part] = [Code("The command that makes it again", found.command, is_folded=False)]
    if found.data:
        parts.append(Shown(fingerprints(scene)))
    parts.append(Code("The spec that all runs have in common, as TOML", found.spec))
    for number, one in enumerate(found.environments, start=1):
        which = f" {number} of {len(found.environments)}" if len(found.environments) > 1 else ""
        parts.append(Code(f"The environment of the runs{which}", json_text(dict(one), indent=2)))
    return Section("origin", "Where it comes from", tuple(parts), ("data",))


def fingerprints(scene: Scene) -> Table:
    """SHA-256 of the data, a row a group."""
    columns = (Column.of("condition", "condition"), Column.of("SHA-256 of the data", "sha256"))
    rows = tuple(
        (Cell.name(name) if name else Cell.words("the only one"), Cell.name(digest))
        for name, digest in scene.found.data.items()
    )
    return Table("data", "Fingerprint of the data", columns, rows)
