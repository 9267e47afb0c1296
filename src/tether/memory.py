"""Memory: when it has run out."""

import errno


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of torch, of NumPy or of the system says that there is no memory left.

    >>> is_out_of_memory(MemoryError()), is_out_of_memory(ValueError())
    (True, False)
    """
    # torch is not imported to name its class: where it is not loaded, it did not raise; on CPU it has no class
    on_cpu = isinstance(error, RuntimeError) and "DefaultCPUAllocator: " in str(error)
    no_memory = isinstance(error, OSError) and error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or on_cpu or no_memory
