"""TOML: files that are none, that are cut, that are spelled in another way, and that would cost time or memory."""

import gzip
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from faults.case import Case
from faults.specs import WHOLE, from_file, spelled

LEAST = spelled({})


def thing(make: Callable[[Path], object], folder: Path) -> list[object]:
    """The words for what is called a spec and is no file."""
    make(folder / "run.toml")
    return ["fit", folder / "run.toml", "--print-spec"]


def loop(path: Path) -> None:
    path.symlink_to(path.with_name("other"))
    path.with_name("other").symlink_to(path)


def cut() -> Iterator[Case]:
    """A whole spec, cut before all that it must have is there."""
    end = WHOLE.index("path =")
    for length in range(0, end, 7):
        yield from_file(f"a spec cut after {length} letters", WHOLE[:length], "run.toml`", "\nwhy: ")
    for length in range(len(WHOLE) - 1, end, -11):
        key, equals, value = WHOLE[:length].rpartition("\n")[2].partition("=")
        is_cut = not value.strip() or value.count('"') == 1 if equals else key and not key.endswith("]")
        if is_cut:
            yield from_file(f"a spec cut in a line, after {length} letters", WHOLE[:length], "is not TOML")


NOT_TOML = {
    "JSON": json.dumps({"model": {"name": "digits-cnn"}}),
    "YAML": "model:\n  name: digits-cnn\ndata:\n  path: digits\n",
    "an INI file": "[model]\nname = digits-cnn\n",
    "a Python file": "import os\nos.system('touch EXECUTED')\n",
    "HTML": "<!DOCTYPE html>\n<html><body>404</body></html>",
    "CSV": "path,label\na.png,a\n",
    "a pointer of Git LFS": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "a conflict of Git": f"<<<<<<< HEAD\n{LEAST}=======\n>>>>>>> other\n",
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "gzip": gzip.compress(LEAST.encode(), mtime=0),
    "a pickle": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
    "zeros": bytes(1000),
    "every byte": bytes(range(256)),
    "a NUL in a value": LEAST.replace("digits-cnn", "digits\0cnn"),
    "a control sign in a value": LEAST.replace("digits-cnn", "digits\x1b[2Jcnn"),
    "a lone carriage return": LEAST.replace("\n", "\r"),
    "an escape that is none": LEAST.replace("digits-cnn", "\\d"),
    "half of a surrogate": LEAST.replace("digits-cnn", "\\ud800"),
    "typographic quotes": LEAST.replace('"digits"', "“digits”"),
    "no quotes": LEAST.replace('"digits"', "digits"),
    "Python's True": "probe = True\n" + LEAST,
    "Python's None": "probe = None\n" + LEAST,
    "null": "threads = null\n" + LEAST,
    "a semicolon": "seed = 1; probe = true\n" + LEAST,
    "two values": "seed = 1 2\n" + LEAST,
    "a number with a leading zero": "seed = 007\n" + LEAST,
    "a number with a comma": "seed = 1,000\n" + LEAST,
    "a bare dot": "threads = .5\n" + LEAST,
    "a key of a glob": LEAST + "[plan.overrides]\n*.bias = 'none'\n",
    "5,000 digits": "seed = 1" + "0" * 5000 + "\n" + LEAST,
    "200,000 digits": "seed = 1" + "0" * 200_000 + "\n" + LEAST,
    "1,000 lists": "seed = " + "[" * 1000 + "\n" + LEAST,
    "50,000 lists": "seed = " + "[" * 50_000 + "]" * 50_000 + "\n" + LEAST,
    "1,000 tables": "seed = " + "{a=" * 1000 + "\n" + LEAST,
}
TWICE = {
    "a key": LEAST + 'path = "x"\n',
    "a key, spelled otherwise": LEAST + '"path" = "x"\n',
    "a section": LEAST + "[model]\n",
    "a section, as a dotted key": 'model.name = "m"\n' + LEAST,
    "a section, as an inline table": 'model = {name = "m"}\n' + LEAST,
}
WIDE = {
    "UTF-16": LEAST.encode("utf-16"),
    "UTF-16 without its mark": LEAST.encode("utf-16-le"),
    "UTF-16, the other way": b"\xfe\xff" + LEAST.encode("utf-16-be"),
    "UTF-32": LEAST.encode("utf-32"),
    "Latin-1": LEAST.replace("digits-cnn", "é").encode("latin-1"),
    "a sign that is cut": LEAST.encode() + "# é".encode()[:-1],
}
DEEP = {
    "a key of 50,000 tables": "a." * 50_000 + "a = 1\n" + LEAST,
    "a section of 50,000 tables": LEAST + "[" + "a." * 50_000 + "a]\n",
    "a key of 50,000 quoted tables": '"a".' * 50_000 + "a = 1\n" + LEAST,
    "a key of 40 tables, with spaces": "a . " * 40 + "a = 1\n" + LEAST,
}
HELD = {
    "70 bits": (spelled({"seed": str(2**70)}), "`seed` cannot be held", "64 bits"),
    "a hexadecimal number of 100,000 digits": (
        spelled({"seed": "0x" + "f" * 100_000}),
        "`seed` cannot be held",
        "64 bits",
    ),
    "a binary number of 100,000 digits": (spelled({"model.args": "{a = 0b" + "1" * 100_000 + "}"}), "cannot be held"),
    "a NUL, escaped": (spelled({"data.path": '"a\\u0000b"'}), "`data.path` cannot be held", "NUL"),
    "a NUL in a key": (spelled({"plan.overrides": '{ "a\\u0000b" = "none" }'}), "cannot be held", "NUL"),
    "33 lists": (spelled({"model.args": "{ a = " + "[" * 33 + "]" * 33 + " }"}), "`model.args.a` cannot be held"),
    "33 tables, by sections": (
        LEAST + "[" + "a." * 20 + "a]\n" + "b." * 20 + "c = 1\n",
        "cannot be held",
        "deeper than 32",
    ),
}
GOOD = {
    "a mark of UTF-8": b"\xef\xbb\xbf" + LEAST.encode(),
    "lines of Windows": LEAST.replace("\n", "\r\n").encode(),
    "no last newline": LEAST.rstrip().encode(),
    "inline tables": b'model = {name = "digits-cnn"}\ndata = {path = "digits"}\nsource = {path = "mnist"}\n',
    "a whole number for a fraction": spelled({"train.epochs": "3", "optimizer.lr": "1", "plan.scale": "2"}).encode(),
    "numbers with underscores": spelled({"fisher.count": "1_000"}).encode(),
    "letters of any script": spelled({"data.path": '"фото/猫 \\"𝛼\\""', "seed": "3"}).encode(),
}
THINGS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a folder": (Path.mkdir, "is a folder, not a file"),
    "a named pipe": (os.mkfifo, "is a named pipe, not a file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is a device, not a file"),
    "a terminal": (lambda path: path.symlink_to("/dev/tty"), "run.toml`"),
    "a broken link": (lambda path: path.symlink_to("absent"), "there is no file `"),
    "a loop of links": (loop, "run.toml` cannot be read"),
    "absent": (lambda path: None, "there is no file `"),
    "10 MB of a comment": (lambda path: path.write_bytes(b"#" * 10_000_000), "has 10,000,000 bytes"),
    "10 MB of keys": (lambda path: path.write_text("".join(f"a{i} = 1\n" for i in range(900_000))), "bytes"),
    "a terabyte of nothing": (lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_RDWR), 2**40), "bytes"),
    "the memory of a process": (lambda path: path.symlink_to("/proc/self/mem"), "run.toml`"),
}

CASES = [
    *cut(),
    *(from_file(name, content, "run.toml` is not TOML", "\nwhy: ") for name, content in NOT_TOML.items()),
    *(from_file(f"{name} twice", content, "run.toml` is not TOML", "there twice: ") for name, content in TWICE.items()),
    *(from_file(name, content, "run.toml` is not TOML", "UTF-") for name, content in WIDE.items()),
    *(from_file(name, content, "has a key of more than 32 tables") for name, content in DEEP.items()),
    *(from_file(name, content, *says) for name, (content, *says) in HELD.items()),
    *(from_file(name, content, "[model]", code=0) for name, content in GOOD.items()),
    *(Case(f"settings: the spec is {name}", partial(thing, make), (says,)) for name, (make, says) in THINGS.items()),
    Case(
        "settings: a spec with a name of 5,000 letters",
        lambda folder: ["fit", f"{folder}/{'x' * 5000}"],
        ("cannot be read",),
    ),
    Case("settings: a spec with a name of nothing", lambda folder: ["fit", ""], ("is a folder, not a file",)),
    Case(
        "settings: a spec with a control sign in its name", lambda folder: ["fit", "\x1b[2J.toml"], ("\\x1b[2J.toml",)
    ),
]
