import warnings
from collections.abc import Iterator

import pytest

HOSTS = r"(lightning|pytorch_lightning|transformers|accelerate)(\.|$)"


@pytest.fixture(autouse=True)
def hosts_own_warnings() -> Iterator[None]:
    """What the hosts warn of (few workers, no logger, what they will rename) is theirs, and not ours to mend."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=HOSTS)
        yield


@pytest.fixture(autouse=True)
def accelerate_starts_anew() -> Iterator[None]:
    """Accelerate keeps the precision of a process's first Accelerator for all later ones."""
    from accelerate.state import AcceleratorState

    yield
    AcceleratorState._reset_state(reset_partial_state=True)
