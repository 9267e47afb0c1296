import json
import re
from dataclasses import replace
from pathlib import Path

from report.made import made
from tether.report.result import VERSION, to_json
from tether.study.comparison import Comparison

DOCS = (Path(__file__).parents[2] / "docs" / "report.md").read_text("utf-8")


def test_numbers_are_in_full(found: Comparison) -> None:
    told = json.loads(to_json(found))
    assert told["version"] == VERSION
    group, one = found.groups[0], found.groups[0].contrasts[0]
    read = told["groups"][0]["contrasts"][0]["verdict"]
    assert read["interval"]["low"] == one.verdict.interval.low
    assert (read["winner"], read["words"]) == (one.verdict.winner, one.verdict.words)
    assert told["groups"][0]["candidates"][2]["means"]["nll"]["estimate"] == group.candidates[2].means["nll"].estimate
    assert told["groups"][0]["candidates"][0]["runs"][0]["folder"] == str(group.candidates[0].runs[0].folder)


def test_the_outcome_of_a_run_stays_in_its_folder(found: Comparison) -> None:
    assert "outcome" not in json.loads(to_json(found))["groups"][0]["candidates"][0]["runs"][0]


def test_every_key_is_documented(found: Comparison) -> None:
    told = set(re.findall(r"^\| `([a-z_]+)` \|", DOCS, re.MULTILINE))
    found_keys = json.loads(to_json(found))
    assert set(found_keys) | set(found_keys["groups"][0]) | set(found_keys["groups"][0]["candidates"][0]) <= told


def test_what_is_not_finite_is_null() -> None:
    found = made(per_class=(5,), seeds=1, items=4)
    assert json.loads(to_json(replace(found, seconds=float("nan"))))["seconds"] is None


def test_names_that_are_no_utf8_are_written() -> None:
    found = replace(made(per_class=(5,), seeds=1, items=4), title="\udcff\u202e")
    assert json.loads(to_json(found).encode())["title"] == "\udcff\u202e"
