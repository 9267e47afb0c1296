import re

import pytest

from tether.cli.app import COMMANDS, run

SPEC = [
    *("--data", "--model", "--source", "--plan", "--batchnorm", "--per-class", "--validation", "--augment"),
    *("--skip-bad", "--size", "--mean", "--std", "--padding", "--by", "--rename", "--exclude", "--coverage"),
    *("--source-classes", "--source-data", "--optimizer", "--lr", "--epochs", "--batch-size", "--patience"),
    *("--auto-batch", "--checkpoint-every", "--probe", "--seed", "--threads", "--device", "--set", "--trust-code"),
]
FLAGS = {
    "demo": ["--out", "--seeds"],
    "fit": [*SPEC, "--out", "--quiet", "--print-spec", "--resume"],
    "study": [
        *(*SPEC, "--out", "--vary", "--seeds", "--fractions", "--search", "--trials", "--jobs", "--no-baselines"),
        *("--plan-only", "--quiet"),
    ],
    "match": [
        *("--into", "--classes", "--channels", "--by", "--rename", "--exclude", "--coverage", "--source-classes"),
        "--out",
    ],
    "plan": SPEC,
    "audit": ["--trust-code", "--json"],
    "report": ["--against", "--out"],
    "evaluate": ["--data", "--skip-bad", "--trust-code", "--json"],
    "predict": ["--out", "--skip-bad", "--trust-code"],
}


def test_the_commands_are_these() -> None:
    assert list(COMMANDS) == list(FLAGS)


@pytest.mark.parametrize("name", FLAGS)
def test_the_flags_of_a_command_are_these(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"], COMMANDS) == 0
    text = capsys.readouterr().out
    found = re.findall(r"^  (?:-\w, )?(--[a-z-]+)", text, flags=re.MULTILINE)
    assert found == [*FLAGS[name], "--help"]


@pytest.mark.parametrize("name", FLAGS)
def test_help_has_two_examples_and_fits_one_screen(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run([name, "--help"], COMMANDS)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith(f"  tether {name}") for line in lines) == 2
    assert len(lines) <= (60 if name == "study" else 50)
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("name", ["fit", "plan", "match"])
def test_every_flag_of_an_example_is_one(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run([name, "--help"], COMMANDS)
    examples = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"  tether {name}")]
    assert set(re.findall(r"--[a-z-]+", " ".join(examples))) <= set(FLAGS[name])
