"""Checkpoints that are damaged or that lie: files cut and changed, headers, archives and pickles that cannot be."""

import gzip
import json
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from faults.case import Case
from faults.weights import (
    given,
    joined,
    match,
    members,
    parts,
    safetensors,
    torch_file,
    torch_legacy,
    torch_zip,
    zipped,
)


def described(about: object, folder: Path) -> list[object]:
    """The words for weights that say this of themselves."""
    text = about if isinstance(about, str) else json.dumps(about)
    return header(lambda found: found.update(__metadata__={"tether": text}), folder)


def cut(content: Callable[[], bytes], share: float, name: str, folder: Path) -> list[object]:
    whole = content()
    return given(whole[: int(share * len(whole)) if share >= 0 else len(whole) - 1], folder, name)


def changed(content: Callable[[], bytes], change: Callable[[bytes], bytes], folder: Path) -> list[object]:
    return given(change(content()), folder)


def flipped(place: float, whole: bytes) -> bytes:
    found = bytearray(whole)
    found[int(place * (len(found) - 1))] ^= 16
    return bytes(found)


WHOLE = {"safetensors": safetensors, "zip": torch_zip, "legacy": torch_legacy}
SHARES = (0.0001, 0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999, -1)
DAMAGE = [
    *(
        Case(f"a {kind} file whole", lambda folder, content=content: given(content(), folder), ("8 copied",), 0)
        for kind, content in WHOLE.items()
    ),
    *(
        Case(
            f"a {kind} file cut at {share}",
            partial(cut, content, share, "source.safetensors"),
            ("source.safetensors`",),
        )
        for kind, content in WHOLE.items()
        for share in SHARES
    ),
    *(
        Case(f"a {kind} file with {what}", partial(changed, content, change), says)
        for kind, content in WHOLE.items()
        for what, change, says in (
            ("a byte after its end", lambda whole: whole + b"\0", ("truncated or damaged",)),
            ("a page of zeros after its end", lambda whole: whole + bytes(4096), ("truncated or damaged",)),
            ("itself after its end", lambda whole: whole + whole, ("truncated or damaged",)),
            ("a byte lost in the middle", lambda whole: whole[:5000] + whole[5001:], ("truncated or damaged",)),
            ("a page lost in the middle", lambda whole: whole[:9000] + whole[13096:], ("truncated or damaged",)),
            ("a page twice", lambda whole: whole[:8192] + whole[4096:], ("truncated or damaged",)),
            ("its first byte lost", lambda whole: whole[1:], ("source.pt`",)),
            ("line ends changed as by a text transfer", lambda whole: whole.replace(b"\n", b"\r\n"), ("source.pt`",)),
            ("all its bytes zero", lambda whole: bytes(len(whole)), ("no checkpoint that is known",)),
        )
        if (kind, what) != ("safetensors", "line ends changed as by a text transfer")
    ),
    *(
        Case(
            f"a zip with a bit changed at {place:.2f}",
            partial(changed, torch_zip, partial(flipped, place)),
            ("source.pt`",),
        )
        for place in (0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97)
    ),
]


def header(change: Callable[[dict[str, Any]], Any], folder: Path, data: bytes | None = None) -> list[object]:
    """The words for the weights under a header that was changed."""
    found, values = parts()
    return given(joined(change(found) or found, values if data is None else data), folder, "source.safetensors")


def entry(folder: Path, **about: object) -> list[object]:
    return header(lambda found: found["head.bias"].update(about), folder)


def length(folder: Path, given_length: int, order: str = "little") -> list[object]:
    content = safetensors()
    return given(given_length.to_bytes(8, order) + content[8:], folder, "source.safetensors")  # type: ignore[arg-type]


def wrong_order(folder: Path) -> list[object]:
    return length(folder, int.from_bytes(safetensors()[:8], "little"), "big")


def sparse(folder: Path) -> list[object]:
    """A file of a terabyte whose header says so, with next to nothing on the disk."""
    path = folder / "source.safetensors"
    path.write_bytes(joined({"w": {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**39]}}, b""))
    with path.open("r+b") as stream:
        stream.truncate(2**40)
    return match(path)


def nested(folder: Path, text: bytes) -> list[object]:
    return given(joined(text, b""), folder, "source.safetensors")


HEADERS = [
    *(
        Case(f"a header whose length is {number:,}", partial(length, given_length=number), ("source.safetensors`",))
        for number in (0, 1, 7, 2**20, 10**8, 10**8 + 1, 10**12, 2**63, 2**64 - 1)
    ),
    Case("a header's length in the wrong order", wrong_order, ("in the wrong order",)),
    *(
        Case(f"a tensor's {about}", lambda folder, about=about: entry(folder, **about), ("its header",))
        for about in (
            {"data_offsets": [-40, 0]},
            {"data_offsets": [40, 0]},
            {"data_offsets": [0, 40]},
            {"data_offsets": [0, 2**50]},
            {"data_offsets": [2**50, 2**50 + 40]},
            {"data_offsets": [0.0, 40.0]},
            {"data_offsets": ["0", "40"]},
            {"data_offsets": [0]},
            {"data_offsets": None},
            {"data_offsets": [True, 41]},
            {"shape": [-10]},
            {"shape": [11]},
            {"shape": [2**31, 2**31]},
            {"shape": [2**63]},
            {"shape": [0]},
            {"shape": [0, 2**70]},
            {"shape": []},
            {"shape": "10"},
            {"shape": [[10]]},
            {"shape": [10.0]},
            {"shape": None},
            {"dtype": "F64"},
        )
    ),
    *(
        Case(
            f"a tensor of the dtype {dtype!r}",
            lambda folder, dtype=dtype: entry(folder, dtype=dtype),
            ("head.bias`", "dtype"),
        )
        for dtype in ("f32", "F128", "OBJECT", "", None, 32, ["F32"])
    ),
    Case("a header that is a list", lambda folder: nested(folder, b"{" + b"]"), ("not JSON",)),
    Case("a header nested deeply", lambda folder: nested(folder, b'{"a":' * 300_000), ("nested too deeply",)),
    Case(
        "a header of lists nested deeply",
        lambda folder: nested(folder, b'{"a":' + b"[" * 300_000),
        ("nested too deeply",),
    ),
    Case("a header in Latin-1", lambda folder: nested(folder, b'{"\xe4": 3}'), ("not JSON",)),
    Case(
        "a header with a number of 5,000 digits",
        lambda folder: nested(folder, b'{"a": ' + b"9" * 5000 + b"}"),
        ("not JSON",),
    ),
    Case("a header of nothing", lambda folder: nested(folder, b"{}"), ("holds no tensor",)),
    Case("a header of spaces", lambda folder: nested(folder, b"{" + b" " * 5000), ("not JSON",)),
    Case("a tensor without data", lambda folder: header(lambda found: None, folder, b""), ("the end is missing",)),
    Case("a tensor twice", lambda folder: nested(folder, b'{"a": 3, "a": 3}'), ("`a` is there twice",)),
    Case(
        "two tensors in one place",
        lambda folder: header(lambda found: found.update(x=found["head.bias"]), folder),
        ("overlaps",),
    ),
    Case("a gap", lambda folder: header(lambda found: found.pop("head.bias") and None, folder), ("head",)),
    Case(
        "metadata that is no text",
        lambda folder: header(lambda found: found.update(__metadata__={"a": 3}), folder),
        ("__metadata__",),
    ),
    Case(
        "a name of a million characters",
        lambda folder: header(lambda found: found.update({"model." * 200_000: found.pop("head.bias")}), folder),
        ("of 1,200,000 characters",),
    ),
    Case("a terabyte that the header claims and a sparse file has", sparse, ("more than the memory",)),
    Case("a description that is no JSON", partial(described, "{"), ("`tether` of its metadata",)),
    Case("a description nested deeply", partial(described, "[" * 200_000), ("nested too deeply",)),
    *(
        Case(f"a description with {about}", partial(described, about), ("`tether` of its metadata",))
        for about in (
            {"classes": 3},
            {"classes": []},
            {"classes": ["a", "a"]},
            {"preprocessing": {"size": -1}},
            {"model": {}},
            [1],
        )
    ),
]


def pickle_of(code: bytes, folder: Path) -> list[object]:
    """The words for a torch zip with another pickle."""
    return given(zipped({**members(torch_zip()), "archive/data.pkl": code}), folder)


def without(folder: Path, name: str) -> list[object]:
    return given(zipped({key: value for key, value in members(torch_zip()).items() if key != name}), folder)


def resized(folder: Path, size: int) -> list[object]:
    return given(zipped({**members(torch_zip()), "archive/data/0": bytes(size)}), folder)


def bomb(folder: Path) -> list[object]:
    archive = {**members(torch_zip()), "archive/data/0": bytes(2**26)}
    return given(zipped(archive, compression=zipfile.ZIP_DEFLATED), folder)


def without_checksums(folder: Path) -> list[object]:
    torch.serialization.set_crc32_options(False)
    try:
        return given(torch_file(), folder)
    finally:
        torch.serialization.set_crc32_options(True)


def script(folder: Path) -> list[object]:
    return given(zipped({**members(torch_zip()), "archive/constants.pkl": b"", "archive/code/x.py": b""}), folder)


KEY, TEXT = b"\x80\x02}X\x01\x00\x00\x00w", b"X\x01\x00\x00\x00a"
ARCHIVES = [
    *(
        Case(
            f"a member called {name!r}",
            lambda folder, name=name: given(zipped(members(torch_zip()), (name, b"x")), folder),
            ("member",),
        )
        for name in ("../x", "archive/../../x", "/tmp/x", "archive/a\\b", "archive/c:x", "archive/\x1b[2J", "archive/ü")
    ),
    Case(
        "a member beside the folder",
        lambda folder: given(zipped(members(torch_zip()), ("x", b"x")), folder),
        ("did not write",),
    ),
    Case("a compressed archive", bomb, ("which is compressed",)),
    *(
        Case(f"without {name}", partial(without, name=f"archive/{name}"), ("source.pt`",))
        for name in ("data.pkl", "data/0", "data/9")
    ),
    *(
        Case(f"a storage of {size} bytes", partial(resized, size=size), ("its pickle says",))
        for size in (0, 1, 575, 577, 2**20)
    ),
    Case("an archive that torch wrote without checksums", without_checksums, ("8 copied",), 0),
    Case("an archive packed again", lambda folder: given(zipped(members(torch_zip())), folder), ("8 copied",), 0),
    Case("a TorchScript archive", script, ("TorchScript", "torch.jit.load")),
    Case("an empty archive", lambda folder: given(zipped({}), folder), ("an empty zip",)),
    Case(
        "an archive of something else",
        lambda folder: given(zipped({"a.txt": b"a", "b/c.txt": b"b"}), folder),
        ("did not write",),
    ),
    Case(
        "an archive of a compressed checkpoint",
        lambda folder: given(zipped({"w/weights.pt.gz": gzip.compress(torch_zip())}), folder),
        ("unzip it",),
    ),
    Case(
        "a pickle that is compressed",
        lambda folder: pickle_of(gzip.compress(members(torch_zip())["archive/data.pkl"]), folder),
        ("gzip",),
    ),
    *(
        Case(f"a pickle that is {what}", partial(pickle_of, code), ("source.pt`",))
        for what, code in (
            ("empty", b""),
            ("only its end", b"."),
            ("without an end", b"\x80\x02}"),
            ("a number", b"\x80\x02K\x01."),
            ("a list", b"\x80\x02]."),
            ("an empty dictionary", b"\x80\x02}."),
            ("a text of 4 GiB", b"\x80\x02X\xff\xff\xff\xffa."),
            ("of an opcode that is none", b"\x80\x02\xff."),
            ("a tuple 3 million deep as a key", b"\x80\x02}" + b")" + b"\x85" * 3_000_000 + b"K\x01s."),
            ("a tuple doubled 60 times as a key", b"\x80\x02})" + b"q\x000h\x00h\x00\x86" * 60 + b"K\x01s."),
            ("a call for 2 GiB of zeros", KEY + b"c__builtin__\nbytearray\nJ\x00\x00\x00\x7f\x85Rs."),
            ("a call for memory that is not filled", KEY + b"ctorch\nTensor\nJ\x00\x00\x00\x7f\x85Rs."),
            (
                "text doubled again and again",
                KEY + b"c_codecs\nencode\n" * 30 + TEXT + b"X\x03\x00\x00\x00hex\x86R" * 30 + b"s.",
            ),
            ("one that holds itself", b"\x80\x02}q\x00X\x0a\x00\x00\x00state_dicth\x00s."),
        )
    ),
]

CASES = [*DAMAGE, *HEADERS, *ARCHIVES]
