"""Roles: which of a model's values are transferred and which are new, and how far either have moved."""

from torch import Tensor, nn

from tether.anchor import Anchor
from tether.params.shards import local
from tether.penalties.plan import Role
from tether.sharding import cut, cut_rows


def displacement(name: str, parameter: nn.Parameter, anchor: Anchor, role: Role) -> Tensor | None:
    """W − source over a parameter's transferred values, or w over its new ones; None where it has none of that role.

    Of a sharded parameter it is what this process holds of them.
    """
    weight, mask = local(parameter.detach()).float(), anchor.new.get(name)
    rows = None if mask is None else cut_rows(mask, parameter).to(weight.device)
    reference = anchor.references.get(name)
    if role == "new":
        return weight if reference is None else None if rows is None else weight[rows]
    if reference is None:
        return None
    delta = weight - cut(reference, parameter).to(weight)
    return delta if rows is None else delta[~rows]


def roles_of(name: str, anchor: Anchor) -> set[Role]:
    """Transferred, new, or both where only some rows are new."""
    if name not in anchor.new:
        return {"transferred"}
    return {"new"} if anchor.new[name] is None else {"transferred", "new"}


def newness(anchor: Anchor) -> dict[str, list[bool] | None]:
    """What is new, in values that compare: None where all of a parameter is, else its rows."""
    return {name: None if mask is None else mask.tolist() for name, mask in anchor.new.items()}
