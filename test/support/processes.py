"""Resources of a process, from /proc."""

from __future__ import annotations

from pathlib import Path


def resident_bytes(pid: int) -> int:
    """Resident memory, bytes."""
    return 1024 * int(_status(pid, "VmRSS").split()[0])


def n_threads(pid: int) -> int:
    """Number of threads."""
    return int(_status(pid, "Threads"))


def n_file_descriptors(pid: int) -> int:
    """Number of open file descriptors."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _status(pid: int, key: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{key}:"))
