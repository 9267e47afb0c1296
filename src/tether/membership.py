"""Membership: which held parts stand in which groups of an optimiser, checked at each step."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from torch.optim import Optimizer

from tether.errors import AttachError, DoubleDecay
from tether.guard import few, guarded, held_elsewhere
from tether.held import Held

Group = dict[str, Any]
OwnDecay = Literal["refuse", "replace"]
DECAYS = ("weight_decay", "lambd")
"""What torch's optimisers call a decay of their own; `lambd` is ASGD's."""


class Membership:
    """The held parts of one optimiser, by parameter group.

    Raises:
        AttachError: a held parameter is in no group, or the optimiser or one of its parameters has a tether already.
        DoubleDecay: the optimiser's own decay would add to the plan's, and is not to be replaced.

    """

    def __init__(self, held: Sequence[Held], optimizer: Optimizer, own_decay: OwnDecay = "refuse") -> None:
        if own_decay not in ("refuse", "replace"):
            raise AttachError(
                f"`own_decay={own_decay!r}`",
                why="the optimiser's own decay beside a penalty is refused, or taken off",
                fix='own_decay="refuse" or own_decay="replace"',
            )
        self._by_id: dict[int, list[Held]] = {}
        for part in held:
            self._by_id.setdefault(id(part.parameter), []).append(part)
        self._refuse_strangers(held, optimizer)
        self._decaying = [
            (group, key) for group in optimizer.param_groups for key in DECAYS if group.get(key) and self._holds(group)
        ]
        if self._decaying and own_decay != "replace":
            self._refuse_decay(optimizer, *self._decaying[0])
        self._groups = _members(optimizer)

    def replace_decay(self) -> list[str]:
        """Set the optimiser's own decay to zero where it acts on held parameters; say so in sentences."""
        sentences = []
        for group, key in self._decaying:
            decay, group[key] = group[key], 0.0
            held = sum(id(p) in self._by_id for p in group["params"])
            others = len(group["params"]) - held
            also = f" and of {others} that the plan leaves free" if others else ""
            sentences.append(f"the optimiser's own {key}={decay} of {held} held parameters{also} was set to 0")
        return sentences

    def parts(self, optimizer: Optimizer) -> Iterator[tuple[Group, Held]]:
        """Every held part with its group as it is now."""
        for group in optimizer.param_groups:
            for p in group["params"]:
                for part in self._by_id.get(id(p), ()):
                    yield group, part

    def acting(self, optimizer: Optimizer) -> list[tuple[Group, Held]]:
        """The parts with a gradient: without one torch does not step a parameter, and it is not pulled."""
        return [(group, part) for group, part in self.parts(optimizer) if part.parameter.grad is not None]

    def refuse_changes(self, optimizer: Optimizer) -> None:
        """Raise where the groups are not what they were.

        Raises:
            AttachError: parameters or groups have come or gone.
            DoubleDecay: a decay has been switched on.

        """
        if _members(optimizer) != self._groups:
            raise AttachError(
                "the optimiser's parameters or groups have changed since its tether was attached",
                why="nothing says how what is there now is held",
                fix="leash.detach(), then leash.attach(optimizer) again",
            )
        for group in optimizer.param_groups:
            for key in DECAYS:
                if group.get(key) and self._holds(group):
                    raise DoubleDecay(
                        f"the optimiser's {key} became {group[key]} after its tether was attached",
                        why="both would pull on the same parameters",
                        fix="set it to 0 again",
                    )

    def _holds(self, group: Group) -> bool:
        return any(id(p) in self._by_id for p in group["params"])

    def _refuse_strangers(self, held: Sequence[Held], optimizer: Optimizer) -> None:
        inside = {id(p) for group in optimizer.param_groups for p in group["params"]}
        missing = [part.name for part in held if part.parameter.requires_grad and id(part.parameter) not in inside]
        if missing:
            raise AttachError(
                f"{len(missing)} held parameters are in no group of this optimiser: {few(missing)}",
                why="they would not be pulled; `fully_shard` and some wrappers put new Parameters in place of the old",
                fix="make the tether after the model is final, and give the optimiser all trainable parameters",
            )
        if guarded(optimizer):
            raise AttachError(
                "this optimiser has a tether already",
                why="its parameters would be pulled twice in a step",
                fix="leash.detach() the other one first",
            )
        twice = held_elsewhere(part.parameter for part in held if id(part.parameter) in inside)
        if twice:
            raise AttachError(
                f"{len(twice)} parameters are pulled by another attached tether: {few(twice)}",
                why="they would be pulled twice, once by each",
                fix="detach() that one first",
            )

    def _refuse_decay(self, optimizer: Optimizer, group: Group, key: str) -> None:
        names = [part.name for p in group["params"] for part in self._by_id.get(id(p), ())]
        raise DoubleDecay(
            f"{type(optimizer).__name__}'s own {key}={group[key]} acts on held parameters: {few(names)}",
            why="both would pull, and the weights would settle between their two references",
            fix=f'{key}=0 in the optimiser, or attach(..., own_decay="replace")',
        )


def _members(optimizer: Optimizer) -> list[list[int]]:
    return [[id(p) for p in group["params"]] for group in optimizer.param_groups]
