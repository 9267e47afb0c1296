"""Kill runs again and again, and compare what they end with to a run that nobody killed.

`python tests/faults/kills.py --kills 200` runs until so many kills were made, each run killed one to four times: at a
random moment, or inside a save at a random call of the file system. Every attempt is a process of its own, forked from
one that has torch loaded. The network has dropout and running statistics, pictures are augmented, and training stops
early.
"""

import argparse
import json
import os
import random
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tether import RunSpec
from tether.answers import Answers
from tether.engine.fit import fit, resume
from tether.scores import Scores

KILLED = -signal.SIGKILL
MOST_KILLS = 4
COMPARED = (
    "model.safetensors",
    "answers.safetensors",
    "metrics.jsonl",
    "spec.toml",
    "plan.json",
    "split.json",
    "tether.txt",
)
APART = ("seconds", "resumed_at_steps")
CALLS = ("fsync", "open", "rename", "replace")


@dataclass
class Tally:
    """What a series of kills came to."""

    runs: int = 0
    kills: int = 0
    in_saves: int = 0
    before_a_folder: int = 0
    unequal: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not self.unequal and not self.lost

    def __str__(self) -> str:
        lines = [
            f"{self.kills} kills of {self.runs} runs, {self.in_saves} of them inside a save,",
            f"{self.before_a_folder} before there was a run folder",
            f"runs that could not go on: {len(self.lost)}; runs that ended on other bits: {len(self.unequal)}",
        ]
        return "\n".join([*lines, *self.lost, *self.unequal])


def pictures(folder: Path) -> Path:
    """Thirty noisy pictures of three classes."""
    generator = np.random.default_rng(0)
    for label in range(3):
        (folder / str(label)).mkdir(parents=True)
        for number in range(10):
            values = generator.integers(0, 160, (12, 12), dtype=np.uint8)
            values[:, 4 * label : 4 * label + 4] += 60
            Image.fromarray(values).save(folder / str(label) / f"{number}.png")
    return folder


def spec(data: Path) -> RunSpec:
    """Some forty steps with all that a resume must restore."""
    return RunSpec.from_flags(
        {
            "model.name": "faults.net:Net",
            "data.path": str(data),
            "data.validation": 0.3,
            "data.augment": "photo",
            "preprocessing.size": 12,
            "preprocessing.channels": 1,
            "train.epochs": 12,
            "train.batch_size": 4,
            "train.patience": 6,
            "optimizer.lr": 0.005,
            "checkpoint.every": 1,
            "threads": 1,
            "device": "cpu",
        }
    )


def main(kills: int, seed: int, ranks: int) -> Tally:
    """Make so many kills."""
    tally, draw = Tally(), random.Random(seed)
    torch.set_num_threads(1)
    # what these import is loaded once, for all that are forked
    Scores.of(Answers.of(np.eye(2), np.array([0, 1])))
    torch.optim.AdamW([torch.zeros(1)])
    with tempfile.TemporaryDirectory() as scratch:
        data = pictures(Path(scratch) / "data")
        whole = Path(scratch) / "whole"
        assert attempt(spec(data), whole, ranks) == 0, "the run that nobody kills failed"
        started = time.monotonic()
        attempt(spec(data), Path(scratch) / "timed", ranks)
        seconds = time.monotonic() - started
        while tally.kills < kills:
            run = Path(scratch) / f"run-{tally.runs}"
            killed_run(spec(data), run, whole, tally, draw, seconds, ranks)
            shutil.rmtree(run, ignore_errors=True)
    return tally


def killed_run(
    settings: RunSpec, run: Path, whole: Path, tally: Tally, draw: random.Random, seconds: float, ranks: int
) -> None:
    """Kill one run one to four times, let it end, and compare."""
    tally.runs += 1
    for _ in range(draw.randint(1, MOST_KILLS)):
        if draw.random() < 0.5:
            code = attempt(settings, run, ranks, after=draw.uniform(0, 0.8 * seconds))
        else:
            code = attempt(settings, run, ranks, at_call=draw.randint(1, 300))
            tally.in_saves += code == KILLED
        if code == 0:
            break
        if code != KILLED:
            tally.lost.append(f"run {tally.runs} ended with {code}")
            return
        tally.kills += 1
        tally.before_a_folder += not run.exists()
    if not (run / "manifest.json").exists() and attempt(settings, run, ranks) != 0:
        tally.lost.append(f"run {tally.runs} could not go on")
        return
    tally.unequal += [f"run {tally.runs}: {name}" for name in differing(run, whole)]


def differing(run: Path, whole: Path) -> list[str]:
    """The files of two runs that are not equal."""
    found = [name for name in COMPARED if (run / name).read_bytes() != (whole / name).read_bytes()]
    one, other = (json.loads((folder / "outcome.json").read_text()) for folder in (run, whole))
    kept = [{key: value for key, value in outcome.items() if key not in APART} for outcome in (one, other)]
    return found + (["outcome.json"] if kept[0] != kept[1] else [])


def attempt(settings: RunSpec, run: Path, ranks: int, *, after: float | None = None, at_call: int | None = None) -> int:
    """Run or go on in processes of their own, which are killed after some seconds or at a call; the first exit code."""
    port = free_port()
    again = (run / "spec.toml").exists() and port % 2 == 1
    workers = [fork(lambda rank=rank: work(settings, run, rank, ranks, port, again, at_call)) for rank in range(ranks)]
    ends = {os.pidfd_open(worker): worker for worker in workers}
    codes: list[int] = []
    patience: float | None = after
    while ends:
        ended, _, _ = select.select(list(ends), [], [], patience)
        for end in ended:
            codes.append(os.waitstatus_to_exitcode(os.waitpid(ends.pop(end), 0)[1]))
            os.close(end)
        if not ended or any(codes):
            for worker in ends.values():
                os.kill(worker, signal.SIGKILL)
            patience = None
    return KILLED if KILLED in codes else max(codes)


def work(settings: RunSpec, run: Path, rank: int, ranks: int, port: int, again: bool, at_call: int | None) -> None:
    """One process of a run, which goes on by `resume`, or as it began by `fit`."""
    if ranks > 1:
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1"}
        os.environ |= {"MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    if at_call is not None and rank == 0:
        die_at(at_call)
    warnings.simplefilter("ignore")
    if again:
        resume(run, trust_code=True, quiet=True)
    else:
        fit(settings, run, quiet=True)


def die_at(call: int) -> None:
    """Kill this process at so many calls of the file system that change it or make it durable."""
    left = [call]

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def count(*words: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*words, **named)

        return count

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))


def fork(act: Callable[[], None]) -> int:
    """Run something in a process of its own; returns its number."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        act()
        code = 0
    except BaseException as error:  # noqa: BLE001 - it is told, and the process ends
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        sys.stderr.flush()
        os._exit(code)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


if __name__ == "__main__":
    words = argparse.ArgumentParser()
    words.add_argument("--kills", type=int, default=20)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--ranks", type=int, default=1)
    found = main(**vars(words.parse_args()))
    print(found)
    sys.exit(not found.sound)
