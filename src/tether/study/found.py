"""Found: what a search has chosen for a configuration, and what it took."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from tether.errors import DataError
from tether.study.baselines import canonical
from tether.study.cell import OF_PLAN
from tether.study.configuration import Configuration, named
from tether.study.place import Place
from tether.study.space import Range

Searched = Sequence[tuple[Configuration, Sequence[Range]]]


@dataclass(frozen=True)
class Found:
    """The settings of the best trial on validation.

    Args:
        settings: by dotted key; empty where the configuration as it is did best.
        made: trials that were made, with those that were pruned and those that failed.
        seeds: under which each of the others was run.
        ranges: the ends of what was drawn from, by dotted key.
    """

    settings: Mapping[str, float]
    made: int
    pruned: int
    failed: int
    seeds: tuple[int, ...]
    ranges: Mapping[str, tuple[float, float]]

    def answers(self, asked: Iterable[Range], seeds: Sequence[int], trials: int) -> bool:
        """Whether it is what such a search would find."""
        is_same = self.ranges == {each.key: (each.low, each.high) for each in asked} and self.seeds == tuple(seeds)
        return is_same and self.made >= trials

    def to_json(self) -> dict[str, Any]:
        """It as a table."""
        return asdict(self)

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Self:
        """It again.

        Raises:
            KeyError, TypeError, ValueError: the table is none of it.
        """
        return cls(
            settings=dict(table["settings"]),
            made=int(table["made"]),
            pruned=int(table["pruned"]),
            failed=int(table["failed"]),
            seeds=tuple(map(int, table["seeds"])),
            ranges={str(key): (float(low), float(high)) for key, (low, high) in table["ranges"].items()},
        )


def all_found(study: Mapping[str, Any]) -> dict[str, Found]:
    """What a `study.json` says was found, by the digest of the configuration as it was before.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it is no such table.
    """
    return {str(digest): Found.from_json(table) for digest, table in study.get("found", {}).items()}


def found_before(place: Place, searched: Searched, seeds: Sequence[int], trials: int) -> dict[str, Found]:
    """What an earlier call has found by the same searches; nothing where that cannot be read."""
    known: dict[str, Found] = {}
    with suppress(DataError, KeyError, TypeError, ValueError, AttributeError):
        known = all_found(place.read() or {})
    asked = {one.digest: used for one, used in searched}
    return {
        digest: found
        for digest, found in known.items()
        if digest in asked and found.answers(asked[digest], seeds, trials)
    }


def tuned(one: Configuration, settings: Mapping[str, float], *, trials: int = 0) -> Configuration:
    """A configuration with numbers that a search tries or has chosen.

    Args:
        trials: of which they were chosen.

    Raises:
        SettingsError: a setting is unknown or out of range.
    """
    if not settings:
        return replace(one, trials=trials)
    spec = canonical(one.spec.replace(settings), one.kind)
    kept = {**one.settings, **settings}
    beside = {key: value for key, value in {**one.condition, **kept}.items() if key.split(".")[0] not in OF_PLAN}
    return replace(one, name=named(one.kind, spec, beside), spec=spec, settings=kept, trials=trials)
