"""A file of `torch.save`, checked before torch loads it: whole, unchanged, and with no more in it than its bytes."""

import struct
from io import BytesIO
from pathlib import Path

from tether.checkpoint.archive import REWRITE, Member, members
from tether.checkpoint.container import foreign
from tether.checkpoint.damage import damaged
from tether.checkpoint.pickled import Pickled, Storage, read_pickle
from tether.errors import CheckpointError

PICKLE, DATA = "data.pkl", "data/"


def check_archive(path: Path) -> Pickled:
    """Check a zip of `torch.save`: its members, their checksums, and that every storage is as long as its pickle says.

    Raises:
        CheckpointError: it is truncated or damaged, or no archive of `torch.save`.

    """
    found = members(path)
    if PICKLE not in found:
        raise CheckpointError(
            f"`{path}` is a zip archive that `torch.save` did not write",
            why=f"it has no member `{PICKLE}`",
            fix="unzip it, and give the checkpoint in it",
        )
    with path.open("rb") as stream:
        content = found[PICKLE].read(stream)
    if known := foreign(content[:16]):
        raise CheckpointError(
            f"`{path}`: its member `{PICKLE}` is {known[0]}",
            why="`torch.save` writes a pickle there, as it is",
            fix=REWRITE,
        )
    pickled = read_pickle(BytesIO(content), path)
    for storage in pickled.storages.values():
        _require_member(storage, found, path)
    return pickled


def _require_member(storage: Storage, found: dict[str, Member], path: Path) -> None:
    if storage.count == 0:
        return
    name = f"{DATA}{storage.key}"
    if name not in found:
        raise damaged(path, f"its pickle names the storage `{name[:100]}`, which is not in it")
    if storage.size is not None and storage.size != found[name].size:
        raise damaged(path, f"its member `{name}` has {found[name].size:,} bytes, its pickle says {storage.size:,}")


def check_legacy(path: Path) -> Pickled:
    """Check a file of `torch.save` of before torch 1.6: five pickles, and then every storage after its length.

    Raises:
        CheckpointError: it is truncated or damaged.

    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        for _ in range(3):  # a magic number, the version of the format, and the machine that wrote it
            read_pickle(stream, path)
        pickled = read_pickle(stream, path)
        keys = read_pickle(stream, path).value
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise damaged(path, "its list of storages cannot be followed")
        if set(pickled.storages) - set(keys):
            raise damaged(path, "its pickle names a storage that is not in it")
        end = stream.tell()
        for key in keys:
            stream.seek(end)
            length = stream.read(8)
            storage = pickled.storages.get(key)
            if len(length) < 8 or storage is None or storage.width is None:
                raise damaged(path, f"it has {size:,} bytes, and the storage `{key[:40]}` starts at {end:,}")
            if struct.unpack("<q", length)[0] != storage.count:
                raise damaged(path, f"its storage `{key[:40]}` is not as long as its pickle says")
            end += 8 + storage.count * storage.width
    if size != end:
        missing = "the end is missing" if size < end else "something else is after its end"
        raise damaged(path, f"it has {size:,} bytes, its pickles say {end:,}: {missing}")
    return pickled
