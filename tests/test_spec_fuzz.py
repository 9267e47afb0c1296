"""Whatever a spec, a word of the command line or an expression is: a result, or a refusal in three lines.

Each property is tried on 200 examples; with TETHER_FUZZ_SECONDS=60 on new ones for a minute each.
"""

import os
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import tomli_w
from hypothesis import strategies as st

from tether.cli.flags import read_spec
from tether.cli.words import plan_words
from tether.errors import PlanError, SettingsError, TetherError
from tether.fields import Field, fields
from tether.penalties.text import parse as parse_penalty
from tether.settings import with_settings
from tether.spec import RunSpec
from tether.terms.text import parse as parse_objective

SECONDS = float(os.environ.get("TETHER_FUZZ_SECONDS", "0"))
EXAMPLES = 200
KNOWN = fields(RunSpec.model_json_schema())
SECTIONS = {key for key in KNOWN if any(other.startswith(f"{key}.") for other in KNOWN)}
LEAST = {"model": {"name": "digits-cnn"}, "data": {"path": "digits"}}

pytestmark = pytest.mark.timeout(0 if SECONDS else 60)


def held(strategy: st.SearchStrategy[Any], check: Callable[[Any], None]) -> int:
    """Try examples for the time that is asked for, and return how many they were."""
    end, tried, rounds = time.monotonic() + SECONDS, 0, 0

    def counted(example: Any) -> None:
        nonlocal tried
        tried += 1
        check(example)

    while not rounds or time.monotonic() < end:
        chosen = hypothesis.settings(
            max_examples=EXAMPLES,
            derandomize=not SECONDS,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
        )
        trial = chosen(hypothesis.given(strategy)(counted))
        (hypothesis.seed(time.time_ns())(trial) if SECONDS else trial)()
        rounds += 1
    print(f"{tried} examples")
    return tried


def decided(make: Callable[[], Any], *refusals: type[TetherError]) -> Any:
    """What is made, or None where it is refused in three lines."""
    try:
        return make()
    except refusals as error:
        assert error.what and error.why and error.fix, repr(str(error))
        assert max(map(len, (error.what, error.why, error.fix))) < 1500
        return None


TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
NAMES = st.sampled_from(["l2_sp", "L2(0.1)", "Classify()", "timm:resnet18", "cpu", "sgd", "none", "*.bias"])
SCALARS = st.one_of(
    *(st.booleans(), st.integers(), st.integers(-(2**70), 2**70), st.floats(), TEXT, NAMES, st.datetimes(), st.dates()),
    st.sampled_from([0, 1, -1, 3, 0.0, -0.0, 0.5, 1.0, 1e308, 5e-324, "", "\0", '"', "\\", "\ud800", "a\r\nb"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT | NAMES, inner, max_size=3)),
    max_leaves=8,
)
KEYS = st.sampled_from(sorted(KNOWN)) | TEXT.map(lambda text: text.replace(".", "_") or "x")


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Any]:
    """Settings of a spec, of which some have another value, and a key more now and then."""
    tree: dict[str, Any] = {section: dict(held) for section, held in LEAST.items()}
    for key, value in draw(st.lists(st.tuples(KEYS, VALUES), max_size=5)):
        *tables, leaf = key.split(".")
        table = tree
        for name in tables:
            if not isinstance(table.get(name), dict):
                table[name] = {}
            table = table[name]
        table[leaf] = value
    return tree


def sound(field: Field) -> st.SearchStrategy[Any]:
    """Values that a field takes, by its words."""
    takes = field.takes
    if takes.startswith('"'):
        return st.sampled_from([word.strip(' "') for word in takes.replace(" or ", ", ").split(", ")])
    if takes == "1 or 3":
        return st.sampled_from([1, 3])
    number = st.floats(0, 1, exclude_min=True, exclude_max=True, allow_subnormal=False)
    return {
        "t": st.booleans() if takes.startswith("true") else TEXT.filter(lambda text: text and "\0" not in text),
        "a whole number": st.integers(4, 4096),
        "a number": number,
        "a list of 1 to 3, each item a": st.lists(number, min_size=1, max_size=1),
        "a list, each item text": st.lists(TEXT.filter(lambda text: text and "\0" not in text), max_size=3),
        "a list, each item a list": st.lists(st.just(["^a", "b\"'\\é"]), max_size=2),
        "a table, each value a number": st.dictionaries(TEXT.map(lambda t: t.replace("\0", "")), number, max_size=2),
        "a table, each value text": st.dictionaries(TEXT.map(lambda t: t.replace("\0", "")), NAMES, max_size=2),
        "a table": st.dictionaries(NAMES, st.integers(-9, 9) | st.booleans() | NAMES | st.lists(number), max_size=3),
    }[max((start for start in KINDS if takes.startswith(start)), key=len)]


KINDS = [
    *("t", "a whole number", "a number", "a list of 1 to 3, each item a", "a list, each item text"),
    *("a list, each item a list", "a table, each value a number", "a table, each value text", "a table"),
]
LEAVES = sorted(KNOWN.keys() - SECTIONS - {"version", "fisher.draws", "plan.args"})
SOUND = st.lists(st.sampled_from(LEAVES), unique=True).flatmap(
    lambda keys: st.fixed_dictionaries({key: sound(KNOWN[key]) for key in keys})
)


def test_any_tree_is_a_spec_or_refused() -> None:
    def check(tree: dict[str, Any]) -> None:
        spec = decided(lambda: RunSpec.parse(tree), SettingsError)
        if spec is not None:
            again(spec)

    held(trees(), check)


def test_a_file_of_any_bytes_is_a_spec_or_refused(tmp_path: Path) -> None:
    whole = RunSpec.parse(LEAST).to_toml().encode()
    cut = st.tuples(st.integers(0, len(whole)), st.integers(0, 12), st.binary(max_size=6) | TEXT.map(str.encode))
    mutated = cut.map(lambda at: whole[: at[0]] + at[2] + whole[at[0] + at[1] :])
    spelled = trees().map(lambda tree: _spelled(tree).encode(errors="replace"))

    def check(content: bytes) -> None:
        (tmp_path / "run.toml").write_bytes(content)
        decided(lambda: RunSpec.from_toml(tmp_path / "run.toml"), SettingsError)

    held(st.binary(max_size=200) | mutated | spelled | TEXT.map(str.encode), check)


def _spelled(tree: dict[str, Any]) -> str:
    try:
        return tomli_w.dumps(tree)
    except (ValueError, TypeError):
        return repr(tree)


def test_any_sound_spec_reads_back_equal() -> None:
    made = []

    def check(settings: dict[str, Any]) -> None:
        tree = with_settings(LEAST, {"source.path": "s"} | settings)
        spec = decided(lambda: RunSpec.parse(tree), SettingsError)
        if spec is not None:
            made.append(again(spec))

    tried = held(SOUND, check)
    assert len(made) > tried / 4  # the others have a contradiction in them


def again(spec: RunSpec) -> RunSpec:
    read = RunSpec.parse(tomllib.loads(spec.to_toml()))
    assert read == spec
    assert read.digest == spec.digest
    assert read.to_toml() == spec.to_toml()
    return read


TOKENS = st.sampled_from(
    [
        *("L2", "L1", "GroupLasso", "Heads", "Cosine", "MarsBall", "Frozen", "Classify", "BSS", "Delta", "none"),
        *("(", ")", "(", ")", "()", "+", "*", "-", ",", ".toward", "=", "[", "]", "{", "}", "**", "#", " ", "\n", ";"),
        *("0.1", "1e999", "3", "True", "None", "1j", "0x" + "f" * 20, '"zero"', "'source'", "b''", "f'{1}'"),
        *('"\\0"', '"\\ud800"', "strength", "k", "layers", "__import__", "lambda: 0", "for x in", ":=", "if", "else"),
    ]
)
CALLS = st.recursive(
    st.sampled_from(["L2(0.1)", "L1(1e-4)", "Frozen()", "GroupLasso(0.1)", "0.5", '"zero"', "Classify()", "BSS(k=2)"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" + ", " * "]), inner).map("".join),
        inner.map(lambda text: f"({text})"),
        st.tuples(inner, inner).map(lambda pair: f"{pair[0]}.toward({pair[1]})"),
        st.tuples(st.sampled_from(["L2", "Heads", "Cosine", "MarsBall", "Delta"]), inner).map(
            lambda p: f"{p[0]}({p[1]})"
        ),
    ),
    max_leaves=12,
)
EXPRESSIONS = st.lists(TOKENS, max_size=14).map("".join) | CALLS | TEXT


def test_any_expression_is_read_or_refused() -> None:
    def check(text: str) -> None:
        penalty = decided(lambda: parse_penalty(text), PlanError, SettingsError)
        if penalty is not None:
            assert parse_penalty(repr(penalty)) == penalty
        objective = decided(lambda: parse_objective(text), PlanError, SettingsError)
        if objective is not None:
            assert repr(parse_objective(repr(objective))) == repr(objective)
        decided(lambda: plan_words(text), SettingsError)

    held(EXPRESSIONS, check)


def test_any_words_of_a_command_line_are_a_spec_or_refused() -> None:
    assigned = st.tuples(KEYS, SCALARS.map(str) | TEXT | EXPRESSIONS).map("=".join)
    words = st.tuples(st.lists(assigned | TEXT, max_size=3), st.none() | EXPRESSIONS, st.none() | TEXT)

    def check(given: tuple[list[str], str | None, str | None]) -> None:
        settings, plan, mean = given
        flags = {"data": "digits", "model": "digits-cnn", "plan": plan, "mean": mean}
        decided(lambda: read_spec(None, flags, settings), SettingsError)

    held(words, check)
