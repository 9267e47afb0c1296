"""Room: whether a network's values fit the machine, counted while it is made and before memory is filled with them."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.nn.parameter import is_lazy

from tether.errors import SettingsError
from tether.memory import machine_memory

MOST_TENSORS = 100_000  # the largest networks of today have a few thousand
LARGEST_ARGUMENT = 10_000_000


def require_sane(name: str, args: Mapping[str, Any]) -> None:
    """Refuse a width or a depth that no network has, which would only end when the memory does.

    Raises:
        SettingsError: a number is out of any range.

    >>> require_sane("timm:resnet18", {"drop_rate": 0.1, "layers": [2, 2]})
    """
    for key, value in args.items():
        numbers = [value] if isinstance(value, int) else value if isinstance(value, list | tuple) else []
        if greatest := max((abs(n) for n in numbers if isinstance(n, int) and abs(n) > LARGEST_ARGUMENT), default=0):
            raise SettingsError(
                f"`model.args.{key}` of `{name}` has the number {greatest:,}",
                why=f"a size of a network is {LARGEST_ARGUMENT:,} at most",
                fix=f"change `{key}` in [model.args]",
            )


@contextmanager
def within_memory(name: str) -> Iterator[None]:
    """Refuse a network as soon as its values are more than the machine can hold; what fits is made as ever.

    A tensor's memory is taken from the machine when it is filled, and it is filled after it was registered.

    Raises:
        SettingsError: it has too many values, or too many tensors.

    """
    most, seen, total = machine_memory(), set[int](), 0

    def count(_: nn.Module, key: str, tensor: Tensor | None) -> None:
        nonlocal total
        if tensor is None or is_lazy(tensor) or tensor.device.type != "cpu" or id(tensor) in seen:
            return
        seen.add(id(tensor))
        total += tensor.numel() * tensor.element_size()
        if total > most or len(seen) > MOST_TENSORS:
            raise too_large(name, f"at its tensor `{key}` it has {total:,} bytes in {len(seen):,} tensors")

    with ExitStack() as hooks:
        for register in (register_module_parameter_registration_hook, register_module_buffer_registration_hook):
            hooks.callback(register(count).remove)
        yield


def too_large(name: str, found: str) -> SettingsError:
    """Say that a network cannot be made on this machine."""
    return SettingsError(
        f"`{name}` is too large for this machine: {found}",
        why=f"the machine has {machine_memory():,} bytes, and a network has {MOST_TENSORS:,} tensors at most",
        fix="smaller widths or fewer layers in [model.args], another network, or a machine with more memory",
    )
