"""Memory of this process, as Linux counts it."""

import pathlib
import re


def resident(which: str) -> float:
    """MiB resident in this process: `VmRSS` now, `VmHWM` at most so far.

    The peak of `getrusage` starts at that of the process that started this.
    """
    status = pathlib.Path("/proc/self/status").read_text()
    (found,) = re.findall(rf"{which}:\s+(\d+) kB", status)
    return int(found) / 1024
