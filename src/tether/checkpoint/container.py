"""What a file is, by its bytes and not by its name."""

import zipfile
from pathlib import Path
from typing import Literal

from tether.errors import CheckpointError, UnsafeCheckpoint

Container = Literal["safetensors", "safetensors index", "torch zip", "torch legacy"]

# Pickle protocol 2 of torch.save's magic number, 0x1950a86a20f9469cfc6c, and its STOP.
TORCH_LEGACY = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
# Of a safetensors file, by its specification; the first eight bytes of a text are a greater number.
LONGEST_HEADER = 100_000_000
SAVE_PARAMETERS = (
    'in the environment that made it, save the parameters alone: `torch.save(model.state_dict(), "weights.pt")`'
    ' or `safetensors.torch.save_model(model, "weights.safetensors")`'
)
AS_TENSORS = '`torch.save({"NAME": torch.from_numpy(array), ...}, "weights.pt")` in the environment that made it'
FOREIGN = (
    (b"version https://git-lfs", "a git-LFS pointer, not the file that it stands for", "git lfs pull"),
    (b"<", "a web or XML page: a sign-in or an error page saved in its place", "download the file itself"),
    (b"\x1f\x8b", "gzip-compressed", "gunzip it, or untar it"),
    (b"BZh", "bzip2-compressed", "bunzip2 it, or untar it"),
    (b"\xfd7zXZ", "xz-compressed", "unxz it, or untar it"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed", "unzstd it, or untar it"),
    (b"\x93NUMPY", "a NumPy array", AS_TENSORS),
    (b"\x89HDF\r\n", "an HDF5 file, as Keras writes", AS_TENSORS),
    (b"GGUF", "a GGUF file", "take the safetensors file that it was made from"),
)


def identify(path: Path) -> Container:
    """Say which kind of checkpoint a file is.

    Raises:
        CheckpointError: it is empty, cannot be opened, or is something else; the message says what, and the way out.
        UnsafeCheckpoint: it is a pickle that `torch.save` did not write.

    """
    head = _head(path)
    if not head:
        raise CheckpointError(f"`{path}` is empty", fix="copy or download it again")
    if head.startswith(b"PK\x03\x04"):
        return _identify_zip(path)
    if head.startswith(TORCH_LEGACY):
        return "torch legacy"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= LONGEST_HEADER:
        return "safetensors"
    if head.lstrip().startswith(b"{"):
        return "safetensors index"
    raise _refusal(path, head)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(512)
    except OSError as error:
        raise CheckpointError(f"`{path}` cannot be read", why=error.strerror or str(error)) from None


def _identify_zip(path: Path) -> Container:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception as error:
        # Beside BadZipFile, a damaged directory fails as its fields do: UnicodeDecodeError, struct.error, …
        raise damaged(path, f"{type(error).__name__}: {error}") from error
    if all(name.endswith(".npy") for name in names):
        raise CheckpointError(f"`{path}` is an archive of NumPy arrays", fix=AS_TENSORS)
    members = {name.partition("/")[2] for name in names}
    if "constants.pkl" in members:
        raise CheckpointError(
            f"`{path}` is a TorchScript archive",
            why="it holds a program beside the parameters",
            fix=f'`torch.save(torch.jit.load("{path.name}").state_dict(), "weights.pt")`, if you trust it',
        )
    if "data.pkl" not in members:
        raise CheckpointError(f"`{path}` is a zip archive that `torch.save` did not write", fix="unzip it")
    return "torch zip"


def _refusal(path: Path, head: bytes) -> CheckpointError:
    for start, what, fix in FOREIGN:
        if head.lstrip(b" \t\r\n\xef\xbb\xbf").startswith(start):
            return CheckpointError(f"`{path}` is {what}", fix=fix)
    if head[257:262] == b"ustar":
        return CheckpointError(f"`{path}` is a tar archive", fix="untar it")
    if path.suffix == ".onnx":
        return CheckpointError(f"`{path}` is an ONNX graph", fix="take the checkpoint that it was exported from")
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


def damaged(path: Path, reason: str) -> CheckpointError:
    """Refuse a file that starts as a checkpoint and cannot be read to its end."""
    return CheckpointError(
        f"`{path}` is truncated or damaged", why=reason.partition("\n")[0], fix="copy or download it again"
    )
