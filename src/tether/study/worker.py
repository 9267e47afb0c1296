"""Worker: one process that checks and makes runs for a study, one after another.

It is started as `python -m tether.study.worker`, reads a task a line and answers each with a line, in JSON. It ends
with its input. A signal stops the run that is under way, with its state saved.
"""

import ctypes
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tether.errors import Interrupted, RunLocked, TetherError
from tether.escaping import terminal
from tether.files import MANIFEST
from tether.lock import locked
from tether.shelf import shelf
from tether.spec import RunSpec, SourceSpec

Answer = dict[str, Any]
PARENT_ENDS = 1  # of prctl: the signal that this process is sent when its parent ends


def main() -> None:
    """Answer every task of the standard input."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a network prints is no answer
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PARENT_ENDS, signal.SIGTERM)
    for line in sys.stdin:
        answer = answered(json.loads(line))
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
        if "interrupted" in answer:
            return


def answered(task: Mapping[str, Any]) -> Answer:
    """Do a task, and say what came of it, whatever goes wrong."""
    try:
        spec = RunSpec.parse(task["spec"])
        return _checked(spec, task["like"]) if task["do"] == "check" else _fitted(spec, Path(task["out"]), task)
    except Interrupted as stopped:
        return {"interrupted": stopped.exit_code - 128}
    except KeyboardInterrupt:
        return {"interrupted": int(signal.SIGINT)}
    except RunLocked as error:
        return {"held": error.what}
    except TetherError as error:
        kind = type(error).__name__
        return {"error": error.what, "why": error.why, "fix": error.fix, "kind": kind, "exit_code": error.exit_code}
    except Exception as error:  # noqa: BLE001 - one run that fails is no reason for the others to end
        told = terminal("".join(traceback.format_exception_only(error)).strip())
        return {"error": told, "why": traceback.format_exc(), "fix": "", "kind": "bug", "exit_code": 1}


def _checked(spec: RunSpec, like: Mapping[str, Any] | None) -> Answer:
    """What a run settles, and about how long it takes; nothing is written.

    Args:
        like: the source by which a run without one prepares its pictures.
    """
    from tether.engine.build import build
    from tether.engine.estimate import estimate
    from tether.engine.preprocess import prepared_as_from

    if like is not None:
        spec = spec.model_copy(update={"preprocessing": prepared_as_from(SourceSpec.model_validate(like), spec)})
    started = time.perf_counter()
    job = build(spec)
    seconds = time.perf_counter() - started + estimate(job)
    settled = job.spec.model_dump(include={"preprocessing", "threads", "device"}, exclude_none=True)
    return {"settled": settled, "seconds": seconds, "validated": len(job.task.split.validation)}


def _fitted(spec: RunSpec, out: Path, task: Mapping[str, Any]) -> Answer:
    """Make a run, or go on with it; one that has ended is only read."""
    from tether.engine.fit import fit
    from tether.record import RunRecord

    started = time.perf_counter()
    with locked(Path(task["claims"]), f"{out.name}.lock"):
        if (out / MANIFEST).exists():
            record, fresh = RunRecord.read(out), False
        else:
            with shelf(Path(task["shared"])):
                record, fresh = fit(spec, out, quiet=True), True
            shutil.rmtree(out / "checkpoints", ignore_errors=True)  # for a run that has ended they are only disk
    found = record.outcome.get("validation")
    accuracy = found["accuracy"] if isinstance(found, Mapping) else None
    return {"done": True, "fresh": fresh, "validation": accuracy, "seconds": time.perf_counter() - started}


if __name__ == "__main__":
    main()
