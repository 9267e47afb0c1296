import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
REPORT = (ROOT / "benchmarks" / "reports" / "coverage.md").read_text(encoding="utf-8")


def test_the_page_shows_what_its_code_prints(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    pairs = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
    assert len(pairs) == 3
    for code, shown in pairs:
        exec(code, names)
        assert capsys.readouterr().out == shown


@pytest.mark.parametrize("seeds", [3, 5, 10, 30])
def test_the_page_has_the_reports_figures(seeds: int) -> None:
    cells = re.search(rf"^\| {seeds} \| (.* – .*) \|$", REPORT, re.MULTILINE)[1].split(" | ")
    crossed, _, both, alone, _, bootstrap = cells
    assert f"| {seeds} | {crossed} | {bootstrap} | {both} | {alone} |" in PAGE
