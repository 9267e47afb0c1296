"""One row a parameter: its fate, its penalty, what it is held to, how strongly, at which rate."""

from dataclasses import asdict, dataclass
from typing import Any

from torch.optim import Optimizer

from tether.binding import Tether
from tether.penalties.l2 import L2


@dataclass(frozen=True)
class Row:
    """What happens to one parameter, or to its rows of one role."""

    name: str
    shape: tuple[int, ...]
    fate: str
    penalty: str
    reference: str
    strength: float | None
    lr: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain values for `plan.json`."""
        return asdict(self)


def rows(leash: Tether, optimizer: Optimizer) -> list[Row]:
    """Every parameter of the model, held or not, in the model's order."""
    rates = {id(p): group.get("initial_lr", group["lr"]) for group in optimizer.param_groups for p in group["params"]}
    held = {(part.name, part.role): part for part in leash.parts}
    found = []
    for name, parameter in leash.parameters.items():
        roles = sorted(leash.roles.get(name, {"new"}), reverse=True)
        for role in roles:
            part = held.get((name, role))
            fate: str = role if parameter.requires_grad else "frozen"
            fate += " rows" if len(roles) > 1 else ""
            rate = rates.get(id(parameter))
            shape = tuple(parameter.shape)
            if part is None:
                found.append(Row(name, shape, fate, "–", "–", None, rate))
                continue
            penalty = part.pull.penalty
            strength = getattr(penalty, "strength", None) if isinstance(penalty, L2) else None
            found.append(Row(name, shape, fate, repr(penalty), part.pull.target, strength, rate))
    return found
