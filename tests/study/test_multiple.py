import numpy as np
import pytest

from tether.errors import SettingsError
from tether.study.intervals import on_new_data
from tether.study.multiple import Verdict, compare, holm


def made_up(*chances: float, items: int = 100) -> dict[str, np.ndarray]:
    drawn = np.random.default_rng(0).random((len(chances), 5, items))
    return {name: one < chance for name, one, chance in zip("abcdef", drawn, chances, strict=False)}


def by_hand(p: list[float]) -> list[float]:
    """The smallest level at which Holm's steps reject each, searched."""
    levels = np.linspace(0, 1, 20_001)
    found = []
    for mine in range(len(p)):
        order = sorted(range(len(p)), key=lambda index: p[index])
        for level in levels:
            rejected = []
            for step, index in enumerate(order):
                if p[index] > level / (len(p) - step):
                    break
                rejected.append(index)
            if mine in rejected:
                break
        found.append(float(level))
    return found


@pytest.mark.parametrize("p", [[0.01], [0.01, 0.04, 0.03], [0.5, 0.9, 0.001, 0.2], [0.02, 0.02], [1.0, 1.0]])
def test_holm_rejects_by_steps(p: list[float]) -> None:
    assert holm(p) == pytest.approx(by_hand(p), abs=1e-4)


def test_holm_of_nothing_is_nothing() -> None:
    assert holm([]) == []


def test_every_interval_is_at_bonferronis_level() -> None:
    scores = made_up(0.5, 0.6, 0.7)
    found = compare(scores, "a", level=0.9)
    assert [verdict.ours for verdict in found] == ["b", "c"]
    for verdict in found:
        alone = on_new_data(scores[verdict.ours], scores["a"], level=0.95)
        assert (verdict.interval.low, verdict.interval.high) == pytest.approx((alone.low, alone.high))
    assert [verdict.p for verdict in found] == holm([verdict.interval.p for verdict in found])


def test_a_winner_takes_an_interval_without_zero() -> None:
    better, worse = compare(made_up(0.6, 0.9, 0.2, items=300), "a")
    assert (better.winner, worse.winner) == ("b", "a")
    assert str(better).endswith("Holm's p < 0.001: b is better")
    assert "95 % for all 2 together, on new data" in str(worse)


def test_without_it_the_words_say_noise() -> None:
    (verdict,) = compare(made_up(0.6, 0.62), "a")
    assert verdict.winner is None
    assert str(verdict).endswith("the difference is within the noise")
    assert "together" not in str(verdict)


def test_two_methods_that_answer_alike_have_no_winner() -> None:
    scores = made_up(0.6)
    (verdict,) = compare({"a": scores["a"], "b": scores["a"]}, "a")
    assert verdict.winner is None


def test_holms_test_alone_names_no_winner() -> None:
    theirs = np.zeros((5, 100))
    effect = np.random.default_rng(0).normal(size=(5, 100))
    unit = (effect - effect.mean()) / on_new_data(effect, theirs).high
    scores = {"a": theirs, "b": unit + effect.mean() + 10, "c": unit}
    reach = on_new_data(unit, theirs, level=0.975).high
    scores["c"] = unit + 0.97 * reach  # between the levels .95 and .975
    clear, close = compare(scores, "a")
    assert clear.winner == "b"
    assert close.winner is None and close.p < 0.05
    assert close.words.startswith("they differ by Holm's test")


@pytest.mark.parametrize(("against", "says"), [("z", "no method is named `z`"), ("a", "nothing to compare with `a`")])
def test_a_comparison_takes_two(against: str, says: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        compare(made_up(0.5), against)
    assert says in refusal.value.what


def test_all_the_truths_are_held_together() -> None:
    rng = np.random.default_rng(0)
    truths, missed = {"b": 0.0, "c": 0.1}, 0
    for _ in range(600):
        base = rng.normal(0, 0.3, (5, 60))
        scores = {"a": base} | {name: rng.normal(truth, 0.3, (5, 60)) for name, truth in truths.items()}
        found = compare(scores, "a")
        missed += any(not one.interval.low <= truths[one.ours] <= one.interval.high for one in found)
    assert missed / 600 < 0.05 + 0.025  # the simulation's own error is .009


def test_a_verdict_is_a_value() -> None:
    assert isinstance(compare(made_up(0.5, 0.6), "a")[0], Verdict)
