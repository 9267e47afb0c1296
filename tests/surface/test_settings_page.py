"""docs/settings.md is what the code says now, and its commands and blocks are read as it claims."""

import re
import runpy
import shlex
from pathlib import Path

import pytest

from tether.cli.app import COMMANDS, run
from tether.spec import RunSpec

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
COMMANDS_SHOWN = re.findall(r"^\$ tether (fit .*)$", PAGE, re.MULTILINE)


def test_the_page_is_current() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "make_settings_page.py"))["page"]()
    assert made == PAGE, "python scripts/make_settings_page.py"


def test_every_setting_is_on_it() -> None:
    for section, field in RunSpec.model_fields.items():
        assert f"`{section}`" in PAGE or f"### [{section}]" in PAGE, field
    assert "| `epochs` | a whole number from 0 to 1,000,000,000 | – | 15 when not given" in PAGE


@pytest.mark.parametrize("words", COMMANDS_SHOWN)
def test_a_command_of_the_page_is_read_in_a_shell(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    block = re.sub(r"preset = .*\nargs = .*\n", "", block) if "plan.transferred" in words else block
    (tmp_path / "flowers.toml").write_text(block)
    monkeypatch.chdir(tmp_path)
    assert run([*shlex.split(words, comments=True), "--print-spec"], COMMANDS) == 0, capsys.readouterr().err
    spec = RunSpec.from_toml(tmp_path / "flowers.toml")
    assert capsys.readouterr().out != spec.to_toml()


def test_there_are_commands_to_try() -> None:
    assert len(COMMANDS_SHOWN) == 9
