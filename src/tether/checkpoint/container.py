"""What a file is, by its bytes and not by its name."""

import tarfile
import zipfile
from pathlib import Path
from typing import Literal

from tether.checkpoint.damage import SAVE_PARAMETERS, damaged
from tether.checkpoint.header import LONGEST
from tether.errors import CheckpointError, UnsafeCheckpoint
from tether.memory import machine_memory
from tether.regular import require_regular

Container = Literal["safetensors", "safetensors index", "torch zip", "torch legacy"]

# Pickle protocol 2 of torch.save's magic number, 0x1950a86a20f9469cfc6c, and its STOP.
TORCH_LEGACY = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
TORCH_TAR = ("sys_info", "pickle", "storages", "tensors")
SPACE = b" \t\r\n\xef\xbb\xbf"
AS_TENSORS = '`torch.save({"NAME": torch.from_numpy(array), ...}, "weights.pt")` in the environment that made it'
BY_BYTES = "a file is known by its first bytes, and these are another format's"
FOREIGN = (
    (b"version https://git-lfs", "a git-LFS pointer, not the file that it stands for", "git lfs pull"),
    (b"<", "a web or XML page: a sign-in or an error page saved in its place", "download the file itself"),
    (b"\x1f\x8b", "gzip-compressed", "gunzip it, or untar it"),
    (b"BZh", "bzip2-compressed", "bunzip2 it, or untar it"),
    (b"\xfd7zXZ", "xz-compressed", "unxz it, or untar it"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed", "unzstd it, or untar it"),
    (b"\x04\x22\x4d\x18", "lz4-compressed", "unlz4 it, or untar it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it, and give the checkpoint in it"),
    (b"Rar!", "a RAR archive", "unpack it, and give the checkpoint in it"),
    (b"PK\x05\x06", "an empty zip archive", "copy or download it again"),
    (b"\x93NUMPY", "a NumPy array", AS_TENSORS),
    (b"\x89HDF\r\n", "an HDF5 file, as Keras writes", AS_TENSORS),
    (b"GGUF", "a GGUF file", "take the safetensors file that it was made from"),
    (b"\x89PNG", "a picture", "give the checkpoint itself"),
    (b"\xff\xd8\xff", "a picture", "give the checkpoint itself"),
    (b"%PDF", "a PDF document", "give the checkpoint itself"),
)


def identify(path: Path) -> Container:
    """Say which kind of checkpoint a file is.

    Raises:
        CheckpointError: it is empty, cannot be opened, or is something else; the message says what, and the way out.
        UnsafeCheckpoint: it is a pickle that `torch.save` did not write.

    """
    require_regular(path, CheckpointError)
    head = _head(path)
    _require_room(path)
    if not head:
        raise CheckpointError(
            f"`{path}` is empty", why="a checkpoint holds at least a header", fix="copy or download it again"
        )
    if head.startswith(b"PK\x03\x04"):
        return _identify_zip(path)
    if head.startswith(TORCH_LEGACY):
        return "torch legacy"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= LONGEST:
        return "safetensors"
    if head.lstrip(SPACE).startswith(b"{"):
        return "safetensors index"
    raise _refusal(path, head)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(512)
    except OSError as error:
        why = error.strerror or str(error)
        raise CheckpointError(f"`{path}` cannot be read", why=why, fix="give a file that you may read") from None


def _require_room(path: Path) -> None:
    size, most = path.stat().st_size, machine_memory()
    if size > most:
        raise CheckpointError(
            f"`{path}` has {size:,} bytes, more than the memory of this machine",
            why=f"a source is copied into a model, and the machine has {most:,} bytes",
            fix="a machine with more memory, or a smaller source",
        )


def _identify_zip(path: Path) -> Container:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception as error:
        # Beside BadZipFile, a damaged directory fails as its fields do: UnicodeDecodeError, struct.error, …
        raise damaged(path, f"{type(error).__name__}: {error}; the end of a zip is its table of contents") from error
    if names and all(name.endswith(".npy") for name in names):
        raise CheckpointError(
            f"`{path}` is an archive of NumPy arrays", why="arrays of objects in it would be pickles", fix=AS_TENSORS
        )
    members = {name.partition("/")[2] for name in names}
    if "constants.pkl" in members:
        raise CheckpointError(
            f"`{path}` is a TorchScript archive",
            why="it holds a program beside the parameters",
            fix=f'`torch.save(torch.jit.load("{path.name}").state_dict(), "weights.pt")`, if you trust it',
        )
    if "data.pkl" not in members:
        raise CheckpointError(
            f"`{path}` is a zip archive that `torch.save` did not write",
            why=f"it holds {', '.join(f'`{name[:60]}`' for name in sorted(names)[:4]) or 'nothing'}",
            fix="unzip it, and give the checkpoint in it",
        )
    return "torch zip"


def _refusal(path: Path, head: bytes) -> CheckpointError:
    if known := foreign(head):
        return CheckpointError(f"`{path}` is {known[0]}", why=BY_BYTES, fix=known[1])
    if (name := _first_of_tar(head)) is not None:
        return _tar(path, name)
    if path.suffix == ".onnx":
        return CheckpointError(
            f"`{path}` is an ONNX graph", why="its names are a graph's", fix="take the checkpoint that it was made from"
        )
    if head[8:9] == b"{" and int.from_bytes(head[:8], "big") <= LONGEST:
        return damaged(path, "the eight bytes of its header's length stand in the wrong order")
    if head.startswith(PICKLES):
        return UnsafeCheckpoint(
            f"`{path}` is a pickle that `torch.save` did not write",
            why="reading it would run whatever code it names",
            fix=SAVE_PARAMETERS,
        )
    return CheckpointError(
        f"`{path}` is no checkpoint that is known here: it starts with {head[:8]!r}",
        why="safetensors files and files of `torch.save` are read",
        fix=SAVE_PARAMETERS,
    )


def foreign(head: bytes) -> tuple[str, str] | None:
    """What first bytes are those of, and the way out; None where they are of no other format that is known.

    >>> foreign(b"GGUF")
    ('a GGUF file', 'take the safetensors file that it was made from')
    """
    found = head.lstrip(SPACE)
    return next(((what, fix) for start, what, fix in FOREIGN if found.startswith(start)), None)


def _first_of_tar(head: bytes) -> str | None:
    try:
        return tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape").name
    except tarfile.HeaderError:
        return "" if head[257:262] == b"ustar" else None


def _tar(path: Path, first: str) -> CheckpointError:
    if first in TORCH_TAR:
        return UnsafeCheckpoint(
            f"`{path}` is a tar archive of torch before 0.1.10",
            why="its pickles can be read only by running them",
            fix=SAVE_PARAMETERS,
        )
    return CheckpointError(f"`{path}` is a tar archive", why=BY_BYTES, fix="untar it, and give the checkpoint in it")
