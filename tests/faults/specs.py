"""Specs: the least one with changes, and the commands that read one and do nothing with it."""

from functools import partial
from pathlib import Path

from faults.case import Case, canary
from tether.fields import fields
from tether.spec import RunSpec

KNOWN = fields(RunSpec.model_json_schema())
SECTIONS = {key for key in KNOWN if any(other.startswith(f"{key}.") for other in KNOWN)}
LEAST: dict[str, dict[str, str]] = {
    "": {},
    "model": {"name": '"digits-cnn"'},
    "data": {"path": '"digits"'},
    "source": {"path": '"mnist"'},
}
WHOLE = RunSpec.parse({"model": {"name": "digits-cnn"}, "data": {"path": "digits"}}).to_toml()


def spelled(changes: dict[str, str]) -> str:
    """The least spec as TOML, with values as they are spelled in it."""
    tables = {section: dict(values) for section, values in LEAST.items()}
    for key, value in changes.items():
        section, _, leaf = key.rpartition(".")
        tables.setdefault(section, {})[leaf] = value
    lines = []
    for section, values in tables.items():
        lines += [f"[{section}]"] if section else []
        lines += [f"{leaf} = {value}" for leaf, value in values.items()]
    return "\n".join(lines) + "\n"


def called(text: str) -> str:
    """A text as part of a case's name."""
    return repr(text) if len(text) < 60 else f"{text[:30]!r}… of {len(text)}"


def of_file(content: str | bytes, folder: Path, words: tuple[str, ...] = ()) -> list[object]:
    """The words that read a spec and do nothing with it."""
    (folder / "run.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    return ["fit", folder / "run.toml", "--print-spec", *words]


def of_words(words: tuple[str, ...], folder: Path) -> list[object]:
    return ["fit", "--model", "digits-cnn", "--data", "digits", "--print-spec", *words]


def of_plan(words: tuple[str, ...], folder: Path) -> list[object]:
    """The words that build a run of few pictures, and train nothing; `{canary}` is what code would make."""
    given = ["plan", "--model", "digits-cnn", "--data", "digits", "--source", "mnist", "--per-class", "2"]
    return [*given, "--device", "cpu", *(word.replace("{canary}", str(canary(folder))) for word in words)]


def from_file(name: str, content: str | bytes, *says: str, code: int = 2) -> Case:
    return Case(f"settings: {name}", partial(of_file, content), says, code)


def from_words(name: str, words: list[str], *says: str) -> Case:
    return Case(f"settings: {name}", partial(of_words, tuple(words)), says)


def from_plan(name: str, words: list[str], *says: str) -> Case:
    return Case(f"settings: {name}", partial(of_plan, tuple(words)), says)
