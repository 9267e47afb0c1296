"""What was asked is told with what each method was tuned by."""

from dataclasses import replace

from report.made import made
from report.read import read
from tether.report.page import page
from tether.study.comparison import Comparison

SEARCHED = "Numbers were searched for before, on validation, in so many trials: "


def searched(found: Comparison, **trials: int) -> Comparison:
    groups = (
        replace(group, methods=tuple(replace(one, trials=trials.get(one.name, 0)) for one in group.methods))
        for group in found.groups
    )
    return replace(found, groups=tuple(groups))


def asked(found: Comparison) -> str:
    return next(one for one in read(page(found)).all("section") if one.attributes["id"] == "asked").text


def test_the_trials_of_a_search_are_told() -> None:
    found = made(per_class=(5,), seeds=2, items=20)
    assert f"{SEARCHED}l2 20, l2_sp 40." in asked(searched(found, l2=20, l2_sp=40))
    assert f"{SEARCHED}plain fine-tuning 5." in asked(searched(found, none=5))


def test_nothing_is_told_where_nothing_was_searched() -> None:
    found = made(per_class=(5,), seeds=2, items=20)
    assert "trials" not in asked(found) and "chosen from: scratch 1, " in asked(found)
    told = asked(searched(made(per_class=(5,), seeds=2, items=20, validated=False), l2=20))
    assert SEARCHED not in told
