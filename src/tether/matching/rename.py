"""Rename: rules from the names of a source to those of a target."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tether.errors import MatchError
from tether.escaping import terminal
from tether.matching.rewriting import SECONDS, TooSlow, rewritten
from tether.params.select import canonical


@dataclass(frozen=True)
class Rename:
    """A regular expression, its replacement, how many source names it changed, and whether the matcher found it.

    >>> print(Rename(r"^backbone[.]", "", changed=150, found=True))
    `^backbone[.]` → `` (150 names, found)
    """

    pattern: str
    replacement: str
    changed: int
    found: bool = False

    def __str__(self) -> str:
        how = ", found" if self.found else ""
        return f"`{terminal(self.pattern)}` → `{terminal(self.replacement)}` ({self.changed} names{how})"


def pair_names(
    sources: Collection[str], targets: Collection[str], rules: Sequence[tuple[str, str]] = ()
) -> tuple[dict[str, str], tuple[Rename, ...]]:
    """Pair each target name with the source name that is, or is renamed to, the same.

    A rule rewrites every source name it fits, in the order given. What is then left without a partner is tried
    with one prefix more or less, if that alone makes more than half of the names agree.

    Raises:
        MatchError: a rule is no regular expression or changes no name; two source names end as one target name; or
            two prefixes would do.

    >>> pair_names(["net.a", "net.b"], ["a", "b"])[0]
    {'a': 'net.a', 'b': 'net.b'}
    """
    spelled, applied = _rewrite({name: name if name in targets else canonical(name) for name in sources}, rules)
    paired = _invert(spelled, targets)
    taken = set(paired.values())
    left = {source: name for source, name in spelled.items() if source not in taken}
    free = [name for name in targets if name not in paired]
    prefix = _common_prefix(left.values(), free, enough=min(len(sources), len(targets)) / 2)
    if prefix is None:
        return paired, applied
    renamed = {source: re.sub(prefix.pattern, prefix.replacement, name) for source, name in left.items()}
    return paired | _invert(renamed, free), (*applied, prefix)


def _rewrite(spelled: dict[str, str], rules: Sequence[tuple[str, str]]) -> tuple[dict[str, str], tuple[Rename, ...]]:
    applied = []
    for pattern, replacement in rules:
        try:
            found = dict(zip(spelled, rewritten(pattern, replacement, spelled.values()), strict=True))
        except TooSlow:
            raise MatchError(
                f"rename `{terminal(pattern)}` → `{terminal(replacement)}` takes too long on the source's names",
                why=f"after {SECONDS:g} s it was still trying ways to fit it: it repeats what repeats, as `(a+)+` does",
                fix="rewrite the pattern with one repetition instead of two within each other",
            ) from None
        except ValueError as error:
            raise MatchError(
                f"rename `{terminal(pattern)}` → `{terminal(replacement)}`: no regular expression and its replacement: "
                f"{terminal(str(error))}",
                why="source names are rewritten by it",
                fix="the syntax is that of Python's `re.sub`; a literal dot is `\\.`",
            ) from None
        changed = sum(found[source] != name for source, name in spelled.items())
        if not changed:
            raise MatchError(
                f"rename `{pattern}` → `{replacement}` changes none of the {len(spelled)} source names",
                why=f"they are spelled like {_some(spelled.values())}",
                fix="rewrite the pattern, which is searched anywhere in a name, or leave the rename out",
            )
        applied.append(Rename(pattern, replacement, changed))
        spelled = found
    return spelled, tuple(applied)


def _invert(spelled: Mapping[str, str], targets: Collection[str]) -> dict[str, str]:
    wanted = set(targets)
    paired: dict[str, str] = {}
    for source, name in spelled.items():
        if name not in wanted:
            continue
        if name in paired:
            raise MatchError(
                f"`{terminal(paired[name])}` and `{terminal(source)}` of the source both end as `{terminal(name)}`",
                why="only one of them can be copied there",
                fix="narrow the renames until they tell the two apart",
            )
        paired[name] = source
    return paired


def _common_prefix(sources: Iterable[str], targets: Iterable[str], *, enough: float) -> Rename | None:
    here, there = set(sources), set(targets)
    votes = Counter(
        [(f"^{re.escape(prefix)}", "") for name in here for prefix, rest in _splits(name) if rest in there]
        + [("^", prefix) for name in there for prefix, rest in _splits(name) if rest in here]
    )
    fitting = sorted((rule, count) for rule, count in votes.items() if count > enough)
    if len(fitting) > 1:
        rules = " or ".join(
            f"`{terminal(pattern)}` → `{terminal(replacement)}`" for (pattern, replacement), _ in fitting
        )
        raise MatchError(
            f"more than one prefix makes the names agree: {rules}",
            why="which part of the two is meant is not for the matcher to guess",
            fix="give the one that is meant: --rename REGEX=REPLACEMENT",
        )
    return next((Rename(*rule, changed=count, found=True) for rule, count in fitting), None)


def _splits(name: str) -> Iterator[tuple[str, str]]:
    parts = name.split(".")
    for cut in range(1, len(parts)):
        yield ".".join(parts[:cut]) + ".", ".".join(parts[cut:])


def _some(names: Iterable[str]) -> str:
    return ", ".join(f"`{terminal(name)}`" for name in list(names)[:3])
