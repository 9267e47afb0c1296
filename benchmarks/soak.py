"""Kill runs two hundred times, and fifty times in two processes: `make soak` writes benchmarks/reports/soak.md."""

import platform
import sys
import time
from pathlib import Path

import torch
from step import commit, processor

from faults.kills import Tally, main

REPORT = Path(__file__).parent / "reports" / "soak.md"
SERIES = ((1, 200), (2, 50))
SEED = 7
ABOUT = """\
Each run is a small convolutional network with BatchNorm and dropout on 30 pictures of three classes: 48 steps,
augmented, with early stopping, saved at every step. It is killed (SIGKILL) one to four times, at a random moment or at
a random call of the file system inside a save, and goes on by `resume` or by the same command. Lost: it could not go
on. Unequal: its weights, metrics, plan or outcome are not those of an uncut run, byte for byte, but for the seconds
that it took."""
HEAD = "| processes | runs | kills | of them at a call of a save | before a run folder | lost | unequal | seconds |"


def row(ranks: int, tally: Tally, seconds: float) -> str:
    lost, unequal = len(tally.lost), len(tally.unequal)
    found = (ranks, tally.runs, tally.kills, tally.in_saves, tally.before_a_folder, lost, unequal, f"{seconds:.0f}")
    return f"| {' | '.join(map(str, found))} |"


def report(rows: list[str]) -> str:
    said = (
        f"One thread a process on {processor()}; torch {torch.__version__}, Python {platform.python_version()}; "
        f"seed {SEED}; commit {commit()}; written by `make soak`."
    )
    return "\n".join(["# Kills", "", ABOUT, "", HEAD, "|---" * HEAD.count(" | ") + "|---|", *rows, "", said, ""])


if __name__ == "__main__":
    rows, sound = [], True
    for ranks, kills in SERIES:
        started = time.monotonic()
        tally = main(kills, SEED, ranks)
        rows.append(row(ranks, tally, time.monotonic() - started))
        sound &= tally.sound
        print(tally)
    REPORT.write_text(report(rows), encoding="utf-8")
    sys.exit(not sound)
