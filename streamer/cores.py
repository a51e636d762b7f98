"""Number of cores that this process may use."""

import math
import os
from pathlib import Path


def available(group: Path = Path("/sys/fs/cgroup")) -> int:
    """Count the cores that affinity and the quota of a container leave, at least 1.

    Args:
        group: Where the control group of this process is mounted.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _quota(group)
    return max(1, min(cores or 1, math.ceil(quota) if quota else 1 << 16))


def _quota(group: Path) -> float | None:
    """Return the cores that the scheduler grants; None if there is no limit."""
    try:
        quota, period = (group / "cpu.max").read_text().split()  # version 2
    except (OSError, ValueError):
        try:  # version 1
            quota = (group / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu" / "cpu.cfs_period_us").read_text()
        except OSError:
            return None
    try:
        granted = float(quota) / float(period)
    except (ValueError, ZeroDivisionError):  # "max": no limit
        return None
    return granted if granted > 0 else None
