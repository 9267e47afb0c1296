"""Names → things, with "did you mean" and entry points for other packages."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Generic, TypeVar

from tether.errors import SettingsError
from tether.escaping import terminal

T = TypeVar("T")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Say which known name is nearest, else list them all.

    >>> did_you_mean("l2sp", ["none", "l2", "l2_sp"])
    'did you mean `l2_sp`?'
    """
    known = sorted(known)
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean `{near[0]}`?"
    return f"known: {', '.join(known)}" if known else "leave it out: none is known"


def refuse_ambiguous(name: str, what: str) -> None:
    """Refuse a known name that is also a file or folder here: the wrong one of the two would be taken silently.

    Raises:
        SettingsError: there is such a file or folder.
    """
    if Path(name).exists():
        raise SettingsError(
            f"`{name}` is {what}, and also a file or folder here",
            why="the wrong one of the two would be taken without a word",
            fix=f"`./{name}` for the one here; rename it, or go elsewhere, for the other",
        )


class Registry(Mapping[str, T], Generic[T]):
    """Things by name: our own by `register`, other packages' by an entry point of the group `tether.KIND`.

    Raises:
        SettingsError: a name is not known; the message says what is near.

    >>> shapes: Registry[int] = Registry("shape")
    >>> shapes.register("triangle")(3)
    3
    >>> shapes["triangle"]
    3

    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._things: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Enter the decorated thing under `name`."""

        def enter(thing: T) -> T:
            self._things[name] = thing
            return thing

        return enter

    def __getitem__(self, name: str) -> T:
        if name not in self._things:
            for point in entry_points(group=f"tether.{self._kind}", name=name):
                self._things[name] = self._load(point)
        try:
            return self._things[name]
        except KeyError:
            raise SettingsError(
                f"no {self._kind} is named `{terminal(name)}`",
                why=f"Tether has {len(self)}, and other packages may add theirs",
                fix=did_you_mean(name, self),
            ) from None

    def _load(self, point: EntryPoint) -> T:
        try:
            return point.load()  # type: ignore[no-any-return]
        except Exception as error:  # another's package may fail in any way as it is imported
            raise SettingsError(
                f"the {self._kind} `{point.name}` of `{point.value}` cannot be imported",
                why=f"{type(error).__name__}: {terminal(str(error))}",
                fix="repair or remove the package that adds it",
            ) from error

    def __contains__(self, name: object) -> bool:
        return name in set(iter(self))

    def __iter__(self) -> Iterator[str]:
        foreign = {point.name for point in entry_points(group=f"tether.{self._kind}")}
        return iter(sorted(self._things.keys() | foreign))

    def __len__(self) -> int:
        return sum(1 for _ in self)
