"""How much memory a process has used and how much it may use, where the system tells or limits that."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    import resource


def peak_memory() -> int:
    """Return this process's largest resident set in bytes; 0 on Windows."""
    return 0 if sys.platform == "win32" else _peak(resource.RUSAGE_SELF)


def peak_memory_of_children() -> int:
    """Return the largest resident set of this process's largest child that has ended, in bytes; 0 on Windows."""
    return 0 if sys.platform == "win32" else _peak(resource.RUSAGE_CHILDREN)


def _peak(who: int) -> int:
    # Linux counts in KiB, macOS in bytes.
    return resource.getrusage(who).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def limit_address_space(pid: int, size: int) -> None:
    """Limit the address space of another process to ``size`` bytes; does nothing except on Linux."""
    if sys.platform == "linux":
        resource.prlimit(pid, resource.RLIMIT_AS, (size, size))
