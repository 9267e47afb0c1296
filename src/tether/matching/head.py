"""Head: the parameters with a row for each class, and which source row each of them comes from."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import nn

from tether.errors import MatchError
from tether.escaping import terminal
from tether.matching.slots import Slot
from tether.params.select import spelled
from tether.registry import did_you_mean

Rows = tuple[tuple[int, int], ...]
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@runtime_checkable
class TellsClassifier(Protocol):
    """A network that tells its classifier, as timm's do; a distilled one has two."""

    def get_classifier(self) -> nn.Module | tuple[nn.Module, ...]:
        """Return the layers that give a logit for each class."""


@dataclass(frozen=True)
class Head:
    """The canonical names of a classifier's parameters, and the class names of both sides where they are known."""

    parameters: tuple[str, ...]
    target_classes: tuple[str, ...] | None = None
    source_classes: tuple[str, ...] | None = None

    @classmethod
    def of(
        cls,
        model: nn.Module,
        names: Mapping[str, Slot],
        *,
        module: str | None = None,
        target_classes: Sequence[str] | None = None,
        source_classes: Sequence[str] | None = None,
    ) -> "Head":
        """Find the head: in `module`, else in timm's classifier, else the last layer with an output for each class.

        Raises:
            MatchError: there is no such layer, or a class is named twice.
        """
        theirs = _distinct(source_classes, "source")
        ours = _distinct(target_classes, "target")
        layers = _layers(model, module, None if ours is None else len(ours))
        by_id = {id(slot.tensor): slot.name for slot in names.values()}
        found = dict.fromkeys(by_id[id(p)] for layer in layers for p in layer.parameters() if id(p) in by_id)
        return cls(tuple(found), ours, theirs)

    def rows(self) -> Rows:
        """(Target row, source row) of every class that both sides have, in the target's order.

        >>> Head((), ("dog", "emu", "cat"), ("cat", "cow", "dog")).rows()
        ((0, 2), (2, 0))
        """
        place = {name: row for row, name in enumerate(self.source_classes or ())}
        return tuple((row, place[name]) for row, name in enumerate(self.target_classes or ()) if name in place)


def _distinct(classes: Sequence[str] | None, side: str) -> tuple[str, ...] | None:
    if classes is None:
        return None
    twice = [name for name, count in Counter(classes).items() if count > 1]
    if twice:
        raise MatchError(
            f"the {side} classes name `{terminal(twice[0])}` more than once",
            why="rows of a head are matched by class name",
            fix="give every class a name of its own",
        )
    return tuple(classes)


def _layers(model: nn.Module, module: str | None, classes: int | None) -> list[nn.Module]:
    scopes = [_named(model, module)] if module is not None else list(_classifiers(model))
    layers = [layer for scope in scopes or [model] if (layer := _output(scope, classes, whole=bool(scopes)))]
    if classes is not None and not layers:
        where = f"`{terminal(module)}` of the model" if module else "the model's classifier" if scopes else "the model"
        raise MatchError(
            f"{where} has no layer with {classes} outputs, one for each target class",
            why=f"its output layers are {', '.join(_outputs(model)[-4:]) or 'none'}",
            fix="build the model for this number of classes, or say which module is its head: transfer(…, head=…)",
        )
    return layers


def _named(model: nn.Module, module: str) -> nn.Module:
    spell = spelled(model)
    modules: dict[str, nn.Module] = {spell(name): layer for name, layer in model.named_modules()}
    if module not in modules:
        near = [name for name, layer in modules.items() if isinstance(layer, LAYERS)][-8:]
        raise MatchError(
            f"the model has no module `{terminal(module)}` to be its head",
            why="the name is looked up in `model.named_modules()`",
            fix=did_you_mean(module, near),
        )
    return modules[module]


def _classifiers(model: nn.Module) -> Iterator[nn.Module]:
    teller = next((layer for layer in model.modules() if isinstance(layer, TellsClassifier)), None)
    told = teller.get_classifier() if teller is not None else ()
    for one in told if isinstance(told, tuple | list) else [told]:
        if isinstance(one, nn.Module) and any(True for _ in one.parameters()):
            yield one


def _output(scope: nn.Module, classes: int | None, *, whole: bool) -> nn.Module | None:
    fitting = [layer for layer in scope.modules() if isinstance(layer, LAYERS) and _has_rows(layer, classes)]
    if not fitting and whole and _has_rows(scope, classes):
        return scope
    return fitting[-1] if fitting else None


def _has_rows(layer: nn.Module, classes: int | None) -> bool:
    rows = {p.shape[0] if p.ndim else 0 for p in layer.parameters()}
    return bool(rows) and (classes is None or rows == {classes})


def _outputs(model: nn.Module) -> list[str]:
    spell = spelled(model)
    return [
        f"`{spell(name)}` ({layer.weight.shape[0]})"
        for name, layer in model.named_modules()
        if isinstance(layer, LAYERS)
    ]
