"""The memory that is free for a worker: the machine's, or less where its container has a limit."""

from pathlib import Path

import psutil

_CGROUPS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
"""A control group's limit and use, in its second version and its first."""


def free_bytes(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """What can be taken now, in bytes; what a container's limit leaves counts its file cache as taken."""
    free: int = psutil.virtual_memory().available
    for limit, used in _CGROUPS:
        try:
            free = min(free, int((cgroup / limit).read_text()) - int((cgroup / used).read_text()))
        except (OSError, ValueError):  # there is none of this version, or no limit ("max")
            continue
    return max(free, 0)
