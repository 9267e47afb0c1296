"""Taps: what named layers take or return in one forward pass, of any network, by hooks that are always removed."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tether.errors import NoParameterSelected, PlanError
from tether.models.build import classifier_name
from tether.params.select import bare, spelled

Side = Literal["output", "input"]
NEAR = 4
NOT_RUN = (
    "did not run in this forward pass",
    "it is not called as a layer here; in a model compiled before, hooks set later are not seen",
    "a layer that runs, or the model as it was before `torch.compile`",
)
TWICE = (
    "ran more than once in this forward pass",
    "which of its values is meant is not known",
    "a layer that runs once",
)
CHANGED = (
    "has its value changed in place by a later layer",
    "an in-place activation, as in `nn.ReLU(inplace=True)`, overwrites what was tapped",
    "the layer that changes it, or `inplace=False`",
)
NO_GRADIENT = (
    "takes no gradient here, so that a term of it would not act",
    "nothing up to it trains, or it stands in a re-entrant checkpoint",
    "a later layer, or `use_reentrant=False`",
)


@dataclass(frozen=True)
class Tap:
    """What a layer returns, or what it is given; the layer by name, or by a shell glob that may match several.

    Args:
        layer: over `model.named_modules()`, without what wrappers put into a name; the model's head when not given.
        side: `output`, or `input`, the first that it is called with.

    """

    layer: str | None = None
    side: Side = "output"


@dataclass(frozen=True, eq=False)
class Pass:
    """One forward pass: what the model returned, and what was tapped, by layer."""

    output: Any
    tapped: Mapping[Tap, Mapping[str, Float[Tensor, "..."]]]

    def one(self, tap: Tap) -> Float[Tensor, "..."]:
        """The value of a tap that is to be of one layer.

        Raises:
            PlanError: its glob matches several.

        """
        found = self.tapped[tap]
        if len(found) > 1:
            raise PlanError(
                f"`{tap.layer}` matches {', '.join(found)}, and one layer is needed",
                why="this term reads the output of a single layer",
                fix="name one",
            )
        return next(iter(found.values()))


def layers(model: nn.Module, pattern: str | None) -> dict[str, nn.Module]:
    """The layers of which the name matches a shell glob, by canonical name; the head where no glob is given.

    Raises:
        NoParameterSelected: nothing matches; the message says what is near.

    >>> list(layers(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)), "[01]"))
    ['0', '1']

    """
    if pattern is None:
        pattern = classifier_name(bare(model))
    spell = spelled(model)
    named = {spell(name): module for name, module in model.named_modules()}
    if pattern in named:
        return {pattern: named[pattern]}
    found = {name: module for name, module in named.items() if name and fnmatchcase(name, pattern)}
    if not found:
        near = get_close_matches(pattern, named, n=NEAR, cutoff=0.5) or list(named)[-NEAR:]
        raise NoParameterSelected(
            f"`{pattern}` matches no layer of `{type(bare(model)).__name__}`",
            why="layers are shell globs over `model.named_modules()`",
            fix=f"near are {', '.join(f'`{name}`' for name in near)}",
        )
    return found


def forward(model: nn.Module, inputs: Any, taps: Iterable[Tap] = ()) -> Pass:
    """Send inputs through a model once, and keep what is tapped, with its gradient where gradients are taken.

    Raises:
        NoParameterSelected: a tap matches no layer.
        PlanError: a tapped layer did not run or ran twice, has no tensor to tap, takes no gradient, or has its value
            changed in place afterwards.

    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> found = forward(model, torch.zeros(4, 2), [Tap("1"), Tap(None, "input")])
    >>> torch.equal(found.one(Tap("1")), found.one(Tap(None, "input")))
    True

    """
    found = {tap: layers(model, tap.layer) for tap in taps}
    with _listening(found) as ears:
        output = model(inputs)
    return Pass(
        output, {tap: {name: ears[name, tap.side].value() for name in modules} for tap, modules in found.items()}
    )


class _Ear:
    """What one layer returned or was given, and whether it may be used."""

    def __init__(self, name: str, module: nn.Module, side: Side) -> None:
        self.name, self.module, self.side = name, module, side
        self.calls, self.version = 0, 0
        self.heard: Any = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear every call within."""
        if self.side == "output":
            handle = self.module.register_forward_hook(lambda module, args, output: self._hear(output))
        else:
            handle = self.module.register_forward_pre_hook(
                lambda module, args, kwargs: self._hear(next(iter((*args, *kwargs.values())), None)), with_kwargs=True
            )
        try:
            yield
        finally:
            handle.remove()

    def _hear(self, value: Any) -> None:
        self.calls += 1
        self.heard = value.clone() if isinstance(value, Tensor) and value.is_inference() else value
        self.version = _version(self.heard)

    def value(self) -> Tensor:
        """What was heard, a tensor as it was when it was heard."""
        if self.calls != 1:
            raise self._unfit(*(NOT_RUN if self.calls == 0 else TWICE))
        if not isinstance(self.heard, Tensor):
            children = [f"`{self.name}.{child}`" for child, _ in self.module.named_children()]
            inside = f", such as {', '.join(children[:NEAR])}" if children else ""
            what = f"has a {type(self.heard).__name__} as its {self.side}, which is no tensor"
            raise self._unfit(what, "", f"a layer before, after or inside it that has one{inside}")
        if _version(self.heard) != self.version:
            raise self._unfit(*CHANGED)
        if torch.is_grad_enabled() and not self.heard.requires_grad:
            raise self._unfit(*NO_GRADIENT)
        return self.heard

    def _unfit(self, what: str, why: str, fix: str) -> PlanError:
        return PlanError(f"the layer `{self.name}` {what}", why=why, fix=fix)


@contextmanager
def _listening(found: Mapping[Tap, Mapping[str, nn.Module]]) -> Iterator[dict[tuple[str, Side], _Ear]]:
    """An ear at each tapped side of each layer, however many taps ask for it."""
    wanted = {(name, tap.side): module for tap, modules in found.items() for name, module in modules.items()}
    ears = {(name, side): _Ear(name, module, side) for (name, side), module in wanted.items()}
    with ExitStack() as stack:
        for ear in ears.values():
            stack.enter_context(ear.listening())
        yield ears


def _version(value: Any) -> int:
    """How often a tensor was changed in place; one of inference mode does not count that."""
    return value._version if isinstance(value, Tensor) and not value.is_inference() else 0
