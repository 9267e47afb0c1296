import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def words(text: str) -> list[str]:
    return re.sub(r"[\d.]+", "0", text).split()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def test_the_example_runs_as_written_and_prints_what_the_page_shows(tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text("\n".join(blocks("python")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", script],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (shown,) = blocks("text")
    # The last digits of sums differ between processors: the words must agree, and the count of steps.
    assert words(done.stdout) == words(shown)
    assert "the penalty acted on 150 of 150 steps" in done.stdout


def test_the_example_is_short() -> None:
    assert len([line for line in blocks("python")[0].splitlines() if line.strip()]) <= 22


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_commands_of_the_readme_exist_with_their_flags() -> None:
    from tether.cli.app import COMMANDS, run

    for text in re.findall(r"^\$ tether ((?:.*\\\n)*.*)$", README, flags=re.MULTILINE):
        words = text.split("#")[0].replace("\\\n", " ").split()
        assert words[0] in COMMANDS
        flags = {word for word in words if word.startswith("--")}
        assert run([words[0], "--help"], COMMANDS) == 0
        assert flags <= set(_flags(words[0])), text


def _flags(command: str) -> list[str]:
    done = subprocess.run(
        [Path(sys.executable).with_name("tether"), command, "--help"], capture_output=True, text=True, check=True
    )
    return re.findall(r"--[a-z-]+", done.stdout)
