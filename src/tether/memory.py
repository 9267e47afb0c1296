"""Memory: when it has run out, and how much there is at most."""

import errno
import os
from contextlib import suppress
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup/memory.max")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of torch, of NumPy or of the system says that there is no memory left.

    >>> is_out_of_memory(MemoryError()), is_out_of_memory(ValueError())
    (True, False)
    """
    # torch is not imported to name its class: where it is not loaded, it did not raise; on CPU it has no class
    on_cpu = isinstance(error, RuntimeError) and "DefaultCPUAllocator: " in str(error)
    no_memory = isinstance(error, OSError) and error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or on_cpu or no_memory


def machine_memory() -> int:
    """Bytes that this process may have at most: of the machine, or of the container or the limit that it is in."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with suppress(OSError, ValueError):  # no container, or one without a limit
        found.append(int(CGROUP.read_text(encoding="ascii")))
    return min([*found, *_limit()])


def _limit() -> list[int]:
    try:
        import resource
    except ImportError:  # not on Windows
        return []
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return [] if soft == resource.RLIM_INFINITY else [soft]
