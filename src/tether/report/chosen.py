"""Chosen: every method of a group with the candidate that stands for it, in the order of the study."""

from collections.abc import Iterator

from tether.study.comparison import Candidate, Group, Method


def chosen(group: Group) -> Iterator[tuple[Method, Candidate]]:
    """Each method and its candidate."""
    found = {one.name: one for one in group.candidates}
    yield from ((method, found[method.chosen]) for method in group.methods if method.chosen in found)


def runs_at(group: Group, at: int, name: str) -> str:
    """The id of the place in the page where a candidate's runs are listed.

    Args:
        at: the number of the group.
    """
    names = [one.name for one in group.candidates]
    return f"runs-{at}-{names.index(name)}" if name in names else ""
