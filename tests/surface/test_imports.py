import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "numpy", "sklearn", "matplotlib", "timm", "torchvision", "PIL"}


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "code",
    [
        "import tether",
        "import tether.cli.app",
        "from tether import RunSpec",
        "import tether.record",
        "from tether.cli.app import COMMANDS, run; run(['--help'], COMMANDS)",
        "from tether.cli.app import COMMANDS, run; [run([name, '--help'], COMMANDS) for name in COMMANDS]",
        "from tether.cli.app import COMMANDS, run; run(['--vers'], COMMANDS)",
    ],
)
def test_what_needs_no_tensors_loads_none(code: str) -> None:
    assert not loaded_by(code) & HEAVY


def test_a_name_that_needs_tensors_loads_them() -> None:
    assert "torch" in loaded_by("from tether import Anchor")


def test_every_public_name_resolves() -> None:
    script = "import tether\nfor name in tether.__all__: assert getattr(tether, name).__doc__, name"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_no_public_name_is_a_folders() -> None:
    import tether

    folders = {path.name for path in Path(tether.__file__).parent.iterdir() if path.is_dir()}
    assert not folders & set(tether.__all__)


def test_help_is_quick() -> None:
    script = (
        "import resource; from tether.cli.app import COMMANDS, run; run(['--help'], COMMANDS)\n"
        "used = resource.getrusage(resource.RUSAGE_SELF); assert used.ru_utime + used.ru_stime < 2, used"
    )
    # processor time, so that a busy machine does not fail it; 0.4 s was seen, and torch alone takes 2
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
