import sys

import pytest

from tether.engine.progress import progress


@pytest.mark.parametrize("quiet", [None, True])
def test_nothing_is_shown_where_nobody_looks(quiet: bool | None, capsys: pytest.CaptureFixture[str]) -> None:
    with progress(2, "photos", quiet=quiet) as advance:
        advance("loss 1")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_terminal_gets_a_bar_on_stderr(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress(2, "photos", quiet=False) as advance:
        advance("loss [1]")
        advance("loss [1]")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "photos" in captured.err
    assert "2/2" in captured.err
    assert "loss [1]" in captured.err  # not read as markup
