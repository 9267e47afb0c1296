"""Which parameters: their names, their other names, and globs over both."""

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase

from torch import nn

from tether.errors import NoParameterSelected

INSERTED = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module"})
WRAPPING = frozenset(
    {"DataParallel", "DistributedDataParallel", "OptimizedModule", "FullyShardedDataParallel", "AveragedModel"}
)
WRAPPERS = re.compile(r"(^|(?<=\.))(module|_orig_mod|_fsdp_wrapped_module)\.")


def canonical(name: str) -> str:
    """Drop what `DistributedDataParallel`, `torch.compile` and FSDP put into a name in a file, where no model tells.

    >>> canonical("module._orig_mod.layer1.0.weight")
    'layer1.0.weight'
    """
    return WRAPPERS.sub("", name)


def spelled(model: nn.Module) -> Callable[[str], str]:
    """The canonical spelling of the model's own names: wrappers are taken off where a wrapper put them.

    A network may have a submodule of its own that is called `module`; its name stays.

    >>> inner = nn.ModuleDict({"module": nn.Linear(2, 2)})
    >>> name = spelled(nn.DataParallel(inner))
    >>> name("module.module.weight")
    'module.weight'
    """
    owners = {name for name, module in model.named_modules() if _wraps(module)}

    def spell(name: str) -> str:
        parts = name.split(".")
        kept = [part for at, part in enumerate(parts) if part not in INSERTED or ".".join(parts[:at]) not in owners]
        return ".".join(kept)

    return spell


def bare(model: nn.Module) -> nn.Module:
    """The model inside `DataParallel`, `torch.compile` and the like.

    >>> inner = nn.Linear(2, 2)
    >>> bare(nn.DataParallel(inner)) is inner
    True
    """
    while _wraps(model):
        model = next(child for name, child in model.named_children() if name in INSERTED)
    return model


def _wraps(module: nn.Module) -> bool:
    return any(kind.__name__ in WRAPPING for kind in type(module).__mro__)


def parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Every parameter once, tied ones under their first name, by canonical name."""
    spell = spelled(model)
    return {spell(name): p for name, p in model.named_parameters()}


def aliases(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """All names of each parameter, under the first; a tied parameter has several.

    >>> tied = nn.ModuleDict({"embed": nn.Linear(2, 2, bias=False)})
    >>> tied["head"] = nn.Linear(2, 2, bias=False)
    >>> tied["head"].weight = tied["embed"].weight
    >>> aliases(tied)
    {'embed.weight': ('embed.weight', 'head.weight')}
    """
    spell = spelled(model)
    names: dict[int, list[str]] = {}
    for name, p in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(p), []).append(spell(name))
    return {found[0]: tuple(found) for found in names.values()}


def select(pattern: str, names: Mapping[str, Iterable[str]], *, argument: str) -> list[str]:
    """Return the parameters of which some name matches the shell glob `pattern`.

    Raises:
        NoParameterSelected: nothing matches; the message shows the last names of the model, where heads are.

    >>> select("*.bias", {"fc.weight": ("fc.weight",), "fc.bias": ("fc.bias",)}, argument="new")
    ['fc.bias']

    """
    found = [name for name, others in names.items() if any(fnmatchcase(other, pattern) for other in others)]
    if not found:
        last = ", ".join(f"`{name}`" for name in list(names)[-4:])
        raise NoParameterSelected(
            f"`{argument}={pattern!r}` selects no parameter",
            why="patterns are shell globs over `model.named_parameters()`",
            fix=f"this model's last parameters are {last}",
        )
    return found
