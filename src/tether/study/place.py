"""Place: the folder of a study, with its runs in it."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tether.errors import DataError, InputError
from tether.escaping import json_text
from tether.files import MANIFEST, write_durably, write_refusal

STUDY, RUNS, SHARED, CLAIMS = "study.json", "runs", ".shared", ".claims"
VERSION = 1


@dataclass(frozen=True)
class Place:
    """Where what of a study lies.

    Args:
        folder: of the study; any number of processes, on machines that share it, may work in it.
    """

    folder: Path

    def make(self) -> None:
        """Make the folder, unless it is there.

        Raises:
            MachineError: the disk is full, read-only or broken.
            InputError: a parent is a file, or may not be written to.
        """
        for folder in (self.folder / RUNS, self.claims, self.shared):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise write_refusal(error, folder) from error

    @property
    def claims(self) -> Path:
        """The locks by which a process takes a run, before that has a folder."""
        return self.folder / CLAIMS

    @property
    def shared(self) -> Path:
        """What is computed once for all runs."""
        return self.folder / SHARED

    def run(self, name: str) -> Path:
        """The folder of a run."""
        return self.folder / RUNS / name

    def is_done(self, name: str) -> bool:
        """Whether a run has ended well: its manifest is written last."""
        return (self.run(name) / MANIFEST).exists()

    def note_failure(self, name: str, failure: Mapping[str, Any]) -> None:
        """Keep why a run did not end, beside its folder, which there may be none of."""
        write_durably(self._failure(name), json_text(dict(failure), indent=1) + "\n")

    def forget_failure(self, name: str) -> None:
        """A run is tried again, or has ended well."""
        with suppress(OSError):
            self._failure(name).unlink()

    def failure(self, name: str) -> str:
        """Why a run did not end, in one line; empty where nothing is known of a failure."""
        try:
            return str(json.loads(self._failure(name).read_text(encoding="utf-8"))["error"])
        except FileNotFoundError:
            return ""
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            return f"failed, and why cannot be read: {error}"

    def _failure(self, name: str) -> Path:
        return self.folder / RUNS / f"{name}.failed.json"

    def write(self, study: Mapping[str, Any]) -> None:
        """Write what the study is."""
        write_durably(self.folder / STUDY, json_text({"version": VERSION, **study}, indent=1) + "\n")

    def read(self) -> dict[str, Any] | None:
        """What the study is; None where there is no study yet.

        Raises:
            DataError: `study.json` cannot be read, or is of a newer version.
        """
        found = self._written()
        if found is not None and (version := found.pop("version")) != VERSION:
            raise DataError(
                f"`{self.folder / STUDY}` is of version {version}, and this Tether reads {VERSION}",
                why="a newer one may mean something else by the same words",
                fix="pip install --upgrade tether-ft",
            )
        return found

    def choices(self) -> dict[str, Any]:
        """What an earlier call has chosen once for all runs; nothing where that cannot be read, and is written anew.

        Raises:
            DataError: the study is of a newer version, and would be written over.
        """
        try:
            self._written()
        except DataError:
            return {}
        found = (self.read() or {}).get("choices")
        return found if isinstance(found, dict) else {}

    def _written(self) -> dict[str, Any] | None:
        path = self.folder / STUDY
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(found, dict):
                raise ValueError("it is no JSON object")
            return {"version": found["version"], **found}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, RecursionError) as error:
            raise DataError(
                f"`{path}` cannot be read: {error}",
                why="it says what the study compares",
                fix="give the command of the study again, which writes it anew and keeps the runs",
            ) from None

    def refuse_foreign(self) -> None:
        """Refuse a folder that holds something and no study.

        Raises:
            InputError: see above.
        """
        if os.path.lexists(self.folder) and not self.folder.is_dir():
            raise _foreign(self.folder, "is a file")
        if self.folder.is_dir() and not (self.folder / STUDY).exists():
            others = [one.name for one in self.folder.iterdir() if one.name not in (RUNS, SHARED, CLAIMS)]
            others += [f"{RUNS}/{one.name}" for one in self.folder.glob(f"{RUNS}/*")]
            if others:
                raise _foreign(self.folder, f"holds `{others[0]}` and no study")


def _foreign(folder: Path, what: str) -> InputError:
    return InputError(
        f"`{folder}` {what}",
        why="a study has a folder of its own, and nothing is written over",
        fix="give --out a new folder, or that of this study",
    )
