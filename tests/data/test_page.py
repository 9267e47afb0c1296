import re
from pathlib import Path

import pytest

from faults import folders, pictures, tables
from tether.data.folder import PART_OF, SUFFIXES
from tether.data.pixels import HUGE, LARGEST, MOST

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (.+?) \| (refused|read)\b", PAGE, flags=re.MULTILINE)
CASES = {case.name: case for module in (folders, pictures, tables) for case in module.CASES}


@pytest.mark.parametrize(("name", "done"), ROWS)
def test_what_the_page_says_of_an_input_is_what_its_case_decides(name: str, done: str) -> None:
    assert CASES[name].code == {"refused": 2, "read": 0}[done]


def test_every_row_of_the_page_is_checked() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("|") and not line.startswith("|---")]
    assert len(ROWS) == len(lines) - PAGE.count("|---|---|")
    assert len(ROWS) > 80


def test_the_page_names_every_suffix_part_and_limit() -> None:
    for word in (*SUFFIXES, *PART_OF):
        assert f"`{word}`" in PAGE
    assert f"{MOST // 10**6} million pixels at most" in PAGE
    assert f"more than {HUGE // 10**6} million" in PAGE
    assert f"any above {LARGEST // 2**30} GiB" in PAGE
