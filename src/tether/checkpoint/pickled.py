"""What a pickle of `torch.save` says, read without making anything: which storages it wants, and nothing unbounded."""

import pickletools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tether.checkpoint.damage import SAVE_PARAMETERS, damaged
from tether.errors import CheckpointError, UnsafeCheckpoint

SIZES = {
    **dict.fromkeys(("Byte", "Char", "Bool", "Untyped", "QInt8", "QUInt8", "Float8_e4m3fn", "Float8_e5m2"), 1),
    **dict.fromkeys(("Short", "Half", "BFloat16", "UInt16"), 2),
    **dict.fromkeys(("Int", "Float", "QInt32", "UInt32"), 4),
    **dict.fromkeys(("Long", "Double", "ComplexFloat", "UInt64"), 8),
    "ComplexDouble": 16,
}
NAMES = {"GLOBAL", "INST", "STACK_GLOBAL"}
PUTS, GETS = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}
FILLS = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "BUILD"}
DEEPEST, LARGEST, LARGEST_KEY = 64, 100_000, 1_000
MARK = object()


@dataclass(frozen=True)
class Word:
    """The name of a class or a function, which is not looked up."""

    name: str


@dataclass(frozen=True)
class Item:
    """Something on the stack.

    Args:
        value: where it is a plain value, a tuple, a list or a name; else None.
        depth: of tuples within tuples.
        size: of a tuple with all that is in it, counted as often as a walk through it meets it.

    """

    value: Any = None
    depth: int = 0
    size: int = 1


@dataclass(frozen=True)
class Storage:
    """A storage that a pickle wants: how many values, and how many bytes each where that is known."""

    key: str
    count: int
    width: int | None

    @property
    def size(self) -> int | None:
        """In bytes."""
        return None if self.width is None else self.count * self.width


@dataclass(frozen=True)
class Pickled:
    """What one pickle holds, the storages it wants by key, and every class and function that it names."""

    value: Any
    storages: Mapping[str, Storage]
    names: tuple[str, ...]
    protocol: int


def read_pickle(stream: BinaryIO, path: Path) -> Pickled:
    """Follow one pickle to its end; nothing is imported, called or made.

    Raises:
        CheckpointError: it is truncated or damaged, or nested so that taking its hash would not end.
        UnsafeCheckpoint: it would fill the memory with what is not in the file.

    """
    stack: list[Any] = []
    memo: dict[Any, Any] = {}
    storages: dict[str, Storage] = {}
    names: dict[str, None] = {}
    protocol = 0
    try:
        for op, argument, _ in pickletools.genops(stream):
            if op.name in PUTS:
                memo[argument] = stack[-1]
            elif op.name in GETS:
                stack.append(memo[argument])
            elif op.name == "MARK":
                stack.append(MARK)
            elif op.name == "MEMOIZE":
                memo[len(memo)] = stack[-1]
            elif op.name == "PROTO":
                protocol = int(argument or 0)
            elif op.name in NAMES:
                stack.append(_named(op.name, argument, stack, names))
            elif op.name == "STOP":
                return Pickled(stack.pop().value, storages, tuple(names), protocol)
            else:
                _step(op, argument, stack, storages, path)
    except CheckpointError:
        raise
    except Exception as error:
        # A damaged pickle fails in whatever way its next opcode does: KeyError, IndexError, ValueError, …
        raise damaged(path, f"its pickle cannot be followed: {type(error).__name__}") from error
    raise damaged(path, "its pickle has no end")


def _step(
    op: pickletools.OpcodeInfo, argument: Any, stack: list[Any], storages: dict[str, Storage], path: Path
) -> None:
    before = [kind.name for kind in op.stack_before]
    items = _to_mark(stack) if "mark" in before else []
    count = before.index("mark") if "mark" in before else len(before)
    popped = [stack.pop() for _ in range(count)][::-1] + items
    if not before:
        stack.extend(_constant(op, argument) for _ in op.stack_after)
    elif op.name in FILLS:
        stack.append(_filled(op.name, popped, path))
    elif op.name.startswith("TUPLE"):
        stack.append(_tuple(popped, path))
    elif op.name == "BINPERSID":
        _claim(popped[0].value, storages, path)
        stack.append(Item())
    else:
        if op.name in ("REDUCE", "NEWOBJ"):
            _require_modest(popped, path)
        stack.extend(Item() for _ in op.stack_after)


def _named(op: str, argument: Any, stack: list[Any], names: dict[str, None]) -> Item:
    if op == "INST":
        _to_mark(stack)
    parts = [str(stack.pop().value) for _ in range(2)][::-1] if op == "STACK_GLOBAL" else argument.split(" ")
    names[".".join(parts)] = None
    return Item() if op == "INST" else Item(Word(".".join(parts)))


def _to_mark(stack: list[Any]) -> list[Item]:
    found: list[Item] = []
    while (item := stack.pop()) is not MARK:
        found.append(item)
    return found[::-1]


def _constant(op: pickletools.OpcodeInfo, argument: Any) -> Item:
    if op.name == "EMPTY_LIST":
        return Item([])
    return Item(() if op.name == "EMPTY_TUPLE" else argument)


def _filled(name: str, popped: Sequence[Item], path: Path) -> Item:
    into, *items = popped
    for key in items[::2] if name in ("SETITEM", "SETITEMS") else items:
        _require_small(key.depth, key.size, LARGEST_KEY, path)
    if name in ("APPEND", "APPENDS") and isinstance(into.value, list):
        into.value.extend(item.value for item in items)
    return into


def _tuple(items: Sequence[Item], path: Path) -> Item:
    depth, size = 1 + max((item.depth for item in items), default=0), 1 + sum(item.size for item in items)
    _require_small(depth, size, LARGEST, path)
    return Item(tuple(item.value for item in items), depth, size)


def _require_small(depth: int, size: int, most: int, path: Path) -> None:
    if depth > DEEPEST or size > most:
        raise CheckpointError(
            f"`{path}` holds tuples in tuples, {depth} deep and of {size:,} values",
            why="to take the hash of such a one could last for ever, and parameters need none",
            fix=SAVE_PARAMETERS,
        )


def _claim(identity: Any, storages: dict[str, Storage], path: Path) -> None:
    if not isinstance(identity, tuple) or identity[:1] != ("storage",):
        return  # the code of a module, or what torch refuses
    _, kind, key, _, count, *_ = identity
    if not isinstance(kind, Word) or not isinstance(count, int) or count < 0:
        raise damaged(path, "its pickle names a storage without a type or a size")
    width = SIZES.get(kind.name.rpartition(".")[2].removesuffix("Storage"))
    found = Storage(str(key), count, width)
    if storages.setdefault(found.key, found) != found and count:
        raise damaged(path, f"its pickle gives the storage `{found.key[:40]}` two sizes or types")


def _require_modest(popped: Sequence[Item], path: Path) -> None:
    """No call that makes more than the file holds: memory that is not filled, or text doubled again and again."""
    made, arguments = popped[0].value, popped[-1].value
    if not isinstance(made, Word) or not isinstance(arguments, tuple):
        return
    called = made.name.rpartition(".")[2]
    makes_memory = called.endswith("Tensor") and any(isinstance(argument, int) for argument in arguments)
    makes_bytes = called == "bytearray" and any(isinstance(argument, int) for argument in arguments)
    doubles = called == "encode" and not (arguments and isinstance(arguments[0], str) and arguments[1:] == ("latin1",))
    if makes_memory or makes_bytes or doubles:
        raise UnsafeCheckpoint(
            f"`{path}` would call `{made.name}` to make more than is in the file",
            why="that could fill the memory, and `torch.save` writes no such call",
            fix=SAVE_PARAMETERS,
        )
