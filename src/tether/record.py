"""RunRecord: what a run was, where it ran, how it went and what came of it."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

from tether.errors import DataError
from tether.escaping import json_text, printable
from tether.files import write_durably
from tether.spec import RunSpec

SPEC, ENVIRONMENT, METRICS, OUTCOME = "spec.toml", "environment.json", "metrics.jsonl", "outcome.json"
LINE = 100


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment(*, threads: int, device: str) -> dict[str, Any]:
    """Where a run runs: versions, machine, folder, and the threads and the device that it was given.

    >>> environment(threads=1, device="cpu")["device"]
    'cpu'
    """
    return {
        "tether": _version("tether-ft"),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "numpy": _version("numpy"),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "threads": threads,
        "device": device,
        "started_in": str(Path.cwd()),
    }


@dataclass(frozen=True)
class RunRecord:
    """One run, as its folder holds it.

    Args:
        metrics: one mapping a row of `metrics.jsonl`, in order.
        outcome: what came of it (test accuracy, best epoch, what was kept); empty until the run has ended.
        folder: where it was read from.
    """

    spec: RunSpec
    environment: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]] = ()
    outcome: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = field(default=None, compare=False)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a run folder, finished or not.

        Raises:
            DataError: the folder is no run folder, or one of its files cannot be read; the message names file and row.
            SettingsError: its `spec.toml` does not hold.
        """
        if not (folder / SPEC).is_file():
            what = "there is no folder" if not folder.exists() else "no run is in"
            raise DataError(f"{what} `{folder}`", why=f"a run folder holds `{SPEC}`", fix="give the --out of a fit")
        return cls(
            RunSpec.from_toml(folder / SPEC),
            _read_object(folder / ENVIRONMENT),
            tuple(_read_rows(folder / METRICS)),
            _read_object(folder / OUTCOME) if (folder / OUTCOME).exists() else {},
            folder,
        )

    def write(self, folder: Path) -> None:
        """Write what there is into a run folder: at the start spec and environment, at the end all.

        Raises:
            MachineError: the disk is full, read-only or broken.
            InputError: the folder is missing or may not be written to.
        """
        write_durably(folder / SPEC, self.spec.to_toml())
        write_durably(folder / ENVIRONMENT, _json(self.environment, indent=2) + "\n")
        if self.metrics:
            write_durably(folder / METRICS, "".join(f"{metrics_line(row)}\n" for row in self.metrics))
        if self.outcome:
            write_durably(folder / OUTCOME, _json(self.outcome, indent=2) + "\n")

    def __str__(self) -> str:
        spec, environment = self.spec, self.environment
        source = f", from {spec.source.path}" if spec.source else ", from scratch"
        where = f"{environment.get('device')}, threads {environment.get('threads')}, {environment.get('platform')}"
        versions = (f"{name} {environment.get(name)}" for name in ("tether", "python", "torch", "numpy"))
        lines = [
            f"run: {spec.model.name} on {spec.data.path}{source} · plan {_plan(spec)} · seed {spec.seed}",
            f"spec: {spec.digest[:12]} · batchnorm {spec.batchnorm}",
            f"environment: {', '.join(versions)} · {where}",
            f"metrics: {len(self.metrics)} rows" + (f", last {_row(self.metrics[-1])}" if self.metrics else ""),
            *(_outcome_lines(self.outcome) or ["outcome: none, the run has not ended"]),
            *([f"run folder: {self.folder}"] if self.folder else []),
        ]
        return "\n".join(map(printable, lines))


def metrics_line(row: Mapping[str, Any]) -> str:
    """One row of `metrics.jsonl`, for `append_line`.

    >>> metrics_line({"epoch": 1, "loss": 0.25})
    '{"epoch": 1, "loss": 0.25}'
    """
    return _json(row)


def _json(value: Mapping[str, Any], *, indent: int | None = None) -> str:
    return json_text(dict(value), indent=indent)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _read_object(path: Path) -> dict[str, Any]:
    try:
        return _object(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"`{path}` cannot be read: {error}",
            why="it is written by a run as one JSON object",
            fix="read another run, or run this one again",
        ) from None


def _read_rows(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    *whole, _ = text.split("\n")  # a run that was killed may leave a part of a line
    return [_parse_row(path, number, line) for number, line in enumerate(whole, start=1)]


def _parse_row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        return _object(line)
    except ValueError as error:
        raise DataError(
            f"`{path}`, row {number} cannot be read: {error}",
            why="a row is one JSON object",
            fix=f"delete row {number}",
        ) from None


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no JSON object")
    return value


def _plan(spec: RunSpec) -> str:
    plan = spec.plan
    if plan.preset is None:
        return f"transferred {plan.transferred or 'none'}, new {plan.new or 'none'}"
    arguments = ", ".join(
        f"{name}={value!r}" if isinstance(value, str) else f"{name}={value:g}" for name, value in plan.args.items()
    )
    return f"{plan.preset}({arguments})" if arguments else plan.preset


def _row(row: Mapping[str, Any]) -> str:
    return _cut(", ".join(f"{name} {_value(value)}" for name, value in row.items()))


def _outcome_lines(outcome: Mapping[str, Any]) -> list[str]:
    rows = [(name.replace("_", " "), _value(value)) for name, value in outcome.items() if value is not None]
    width = max((len(name) for name, _ in rows), default=0)
    return [_cut(f"{name:<{width}}  {value}") for name, value in rows]


def _value(value: Any) -> str:
    if isinstance(value, Mapping) and "accuracy" in value:
        interval = f"95 % over pictures [{value['low']:.3f}, {value['high']:.3f}] on {value['count']:,}"
        return f"accuracy {value['accuracy']:.4f} · {interval} · NLL {value['nll']:.3f}"
    if isinstance(value, Mapping):
        known = {name.replace("_", " "): item for name, item in value.items() if item is not None}
        return " · ".join(f"{name} {_value(item)}" for name, item in known.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cut(text: str) -> str:
    return text if len(text) <= LINE else f"{text[: LINE - 1]}…"
