"""What can go wrong, as one tree; every error says what, why and the way out.

TetherError
├── InputError            2  the input, the settings or the arguments are wrong
│   ├── SettingsError        an unknown key, a value out of range, a contradiction
│   ├── DataError            a folder, table or picture that cannot be used
│   ├── CheckpointError      a file that holds no usable parameters
│   │   └── UnsafeCheckpoint     a pickle that would have to run code
│   ├── MatchError           source and target do not fit
│   │   └── CoverageTooLow       too little of the target would be transferred
│   ├── PlanError            a plan that cannot be carried out
│   │   ├── NoParameterSelected  a pattern or a role that selects nothing
│   │   └── NoClosedForm         a sum without a proximal map
│   ├── AttachError          a tether and an optimiser that do not fit
│   │   ├── DoubleDecay          the optimiser's own weight decay acts too
│   │   ├── UnknownStep          no effective step is known for this optimiser
│   │   ├── PullBelowPrecision   the pull would round to nothing
│   │   └── HooksLost            an optimiser steps tethered parameters without its tether
│   ├── RunExists            the run folder is there already
│   └── MissingExtra         an optional dependency is not installed
├── MachineError          3  the disk or the memory failed
├── Diverged              4  a loss or a gradient is not finite
└── RunLocked             6  another run holds the folder

KeyboardInterrupt
└── Interrupted     130/143  a signal asked the run to stop, and its state is saved

UserWarning
└── Notice                   what was done about something that did not stop the run
"""

from tether.escaping import printable


class ThreeLines(BaseException):
    """What happened, in which file and key; why; and what to do."""

    exit_code: int

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        what, why, fix = (printable(text) for text in (what, why, fix))  # a name stays in the line it is named in
        super().__init__(what)
        self.what, self.why, self.fix = what, why, fix

    def __str__(self) -> str:
        lines = [self.what]
        if self.why:
            lines.append(f"why: {self.why}")
        if self.fix:
            lines.append(f"fix: {self.fix}")
        return "\n".join(lines)


class TetherError(ThreeLines, Exception):
    """A refusal, with the exit code that the command line ends with."""

    exit_code = 2


class InputError(TetherError):
    """The input, the settings or the arguments are wrong."""


class SettingsError(InputError):
    """A setting is unknown, out of range, or contradicts another."""


class DataError(InputError):
    """A folder, table or picture cannot be used."""


class CheckpointError(InputError):
    """A file holds no usable parameters."""


class UnsafeCheckpoint(CheckpointError):
    """A pickle would have to run code to be read."""


class MatchError(InputError):
    """Source and target do not fit."""


class CoverageTooLow(MatchError):
    """Too little of the target would be transferred."""


class PlanError(InputError):
    """A plan cannot be carried out."""


class NoParameterSelected(PlanError):
    """A pattern or a role selects nothing."""


class NoClosedForm(PlanError):
    """A sum of penalties has no proximal map in closed form."""


class AttachError(InputError):
    """A tether and an optimiser do not fit."""


class DoubleDecay(AttachError):
    """The optimiser's own weight decay acts on a held parameter."""


class UnknownStep(AttachError):
    """No effective step is known for this optimiser."""


class PullBelowPrecision(AttachError):
    """The pull would round to nothing in the parameter's dtype."""


class HooksLost(AttachError):
    """An optimiser steps tethered parameters without its tether."""


class RunExists(InputError):
    """The run folder is there already."""


class MissingExtra(InputError):
    """An optional dependency is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(
            f"`{module}` is not installed",
            why=f"it comes with the extra `{extra}`, which the core does without",
            fix=f'pip install "tether-ft[{extra}]"',
        )


class MachineError(TetherError):
    """The disk or the memory failed."""

    exit_code = 3


class Diverged(TetherError):
    """A loss or a gradient is not finite."""

    exit_code = 4


class RunLocked(TetherError):
    """Another run holds the folder."""

    exit_code = 6


class Interrupted(ThreeLines, KeyboardInterrupt):
    """A signal asked to stop; no `except Exception` of a loop over runs goes on to the next one."""

    def __init__(self, signum: int, what: str, *, why: str = "", fix: str = "") -> None:
        super().__init__(what, why=why, fix=fix)
        self.exit_code = 128 + signum


class Notice(UserWarning):
    """Something was wrong that did not stop the run, and this is what was done about it."""
