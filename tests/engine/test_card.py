from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tether import RunSpec, fit
from tether.engine.card import card
from tether.escaping import terminal


def test_the_card_says_what_is_known(
    settings: Callable[..., dict[str, Any]], stripes: Any, source_run: Path, tmp_path: Path
) -> None:
    changes = {"source.path": str(source_run), "source.data": str(stripes()), "probe": True}
    record = fit(RunSpec.from_flags(settings(changes)), tmp_path / "run")
    text = (tmp_path / "run/README.md").read_text()
    outcome = record.outcome
    assert f"from `{source_run}`" in text
    assert "| classes | `a`, `b`, `c` |" in text
    assert f"| test accuracy | {outcome['test']['accuracy']:.4f} on 12 pictures" in text
    assert f"| linear probe on the source's features | {outcome['probe']['accuracy']:.4f} |" in text
    assert f"| {outcome['retention']['kept']:.4f}; the source itself {outcome['retention']['source']:.4f} |" in text
    brier, ece = outcome["test"]["brier"], outcome["test"]["ece"]
    assert f"| Brier score {brier:.4f}, expected calibration error {ece:.4f} over 15 bins |" in text
    agreed = outcome["agreement"]["target"]["agreement"]
    assert f"| {agreed:.4f} of 12 test pictures, by the source's head |" in text
    assert (tmp_path / "run/tether.txt").read_text() in text
    assert "the penalty acted on 9 of 9 steps" in text
    assert all(line.endswith("|") for line in text.splitlines() if line.startswith("|"))


def test_the_card_leaves_out_what_was_not_measured(source_run: Path) -> None:
    text = (source_run / "README.md").read_text()
    assert "Trained from scratch" in text
    for absent in ("probe", "source task", "source model", "None"):
        assert absent not in text


HOSTILE = "\n\r\x1b\u202e\udcff`|$<&\\[]()#*_~"
ANY = st.text(st.characters(exclude_categories=()) | st.sampled_from(HOSTILE), min_size=1, max_size=40)
DONE = {"epochs": 1, "epoch_taken": 1, "chosen_on": "validation"}


@given(st.lists(ANY, min_size=1, max_size=4), ANY, ANY)
def test_no_name_changes_the_shape_of_the_card(classes: list[str], data: str, source: str) -> None:
    plain = _read(card(_spec("data", "source"), ("a",) * len(classes), DONE, "held"))
    found = _read(card(_spec(data, source), tuple(classes), DONE, "held"))
    assert [kind for kind, _ in found] == [kind for kind, _ in plain]
    codes = [text.strip(" ") for kind, text in found if kind == "code_inline"]
    for name in (*classes, data, source):
        assert terminal(name).replace("`", r"\x60").replace("|", r"\x7c").strip(" ") in codes


def _spec(data: str, source: str) -> RunSpec:
    """The settings of a run with any names, which a spec need not be able to hold."""
    prepared = {"preprocessing.mean": [0.5], "preprocessing.std": [0.5]}
    spec = RunSpec.from_flags({"model.name": "digits-cnn", "data.path": "data", "source.path": "source"} | prepared)
    assert spec.source is not None
    named = {
        section: getattr(spec, section).model_copy(update={"path": path})
        for section, path in (("data", data), ("source", source))
    }
    return spec.model_copy(update=named)


def _read(text: str) -> list[tuple[str, str]]:
    """What a Markdown reader makes of a page: the kind and the text of each piece."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    return [(piece.type, piece.content) for token in tokens for piece in (token, *(token.children or ()))]
