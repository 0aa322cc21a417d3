"""The machine during a measurement: its cores and memory, and the share that other programs took.

In: /proc. Out: numbers and a sentence, without facts that the system does not report.
"""

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

#: From these shares of all cores on, the machine is called busy.
_BUSY_OTHERS, _BUSY_STEAL = 0.1, 0.02


def usable_cores() -> float:
    """Cores that this process may use at once: those of its affinity, or fewer by its control group."""
    bound = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return min(bound, int(quota) / int(period))
    except (OSError, ValueError):  # no such file, or no limit
        return bound


def available_memory() -> int | None:
    """Bytes that programs and the page cache can still take; None where the system does not report it."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return None if found is None else int(found) * 1024


def cpu_model() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


class _Ticks(NamedTuple):
    """Seconds since the start of the machine, of all cores together."""

    clock: float
    busy: float
    steal: float
    ours: float


def _ticks() -> _Ticks | None:
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
    except OSError:
        return None
    second = os.sysconf("SC_CLK_TCK")
    user, nice, system, _, _, interrupts, soft, steal = (int(value) / second for value in first.split()[1:9])
    own = os.times()
    ours = own.user + own.system + own.children_user + own.children_system
    return _Ticks(time.monotonic(), user + nice + system + interrupts + soft, steal, ours)


@dataclass(frozen=True, slots=True)
class Company:
    """Other programs on the machine.

    Attributes:
        load_average: Of the last minute when the measurement began.
        other_cores: Cores that other programs took meanwhile, on average; None where the system does not report it.
        steal: The share of all cores that other virtual machines took; None likewise.
        cores: Of this machine.
    """

    load_average: float
    other_cores: float | None
    steal: float | None
    cores: float

    @property
    def busy(self) -> bool:
        """Whether figures by the clock are doubtful."""
        return (self.other_cores or 0.0) > _BUSY_OTHERS * self.cores or (self.steal or 0.0) > _BUSY_STEAL

    @property
    def cores_left(self) -> float:
        """Cores that others left, on average."""
        return max(0.0, self.cores - (self.other_cores or 0.0))

    def sentence(self) -> str:
        """The circumstances, for a reader of the figures."""
        parts = [f"load average {self.load_average:.1f} at the start"]
        if self.other_cores is not None:
            parts.append(f"other programs took {self.other_cores:.2f} of {self.cores:g} cores")
        if self.steal is not None:
            parts.append(f"other virtual machines {self.steal:.1%} of the time")
        facts = ", ".join(parts)
        if self.busy:
            return (
                f"The machine was busy ({facts}): images/s are lower than it can do. Core-milliseconds change far less."
            )
        return f"The machine was quiet: {facts}."


class Watch:
    """Watches the machine from its construction on."""

    def __init__(self) -> None:
        self._load, self._begun = os.getloadavg()[0], _ticks()

    def company(self, spared: float = 0.0) -> Company:
        """Other programs since the watch was made.

        Args:
            spared: CPU seconds of processes that this process started and that have not ended yet.
        """
        begun, now, cores = self._begun, _ticks(), usable_cores()
        if begun is None or now is None or now.clock <= begun.clock:
            return Company(self._load, None, None, cores)
        elapsed = now.clock - begun.clock
        others = (now.busy - begun.busy) - (now.ours - begun.ours) - spared
        steal = (now.steal - begun.steal) / (elapsed * (os.cpu_count() or 1))
        return Company(self._load, max(0.0, others / elapsed), steal, cores)


def describe() -> dict[str, Any]:
    """The machine and the versions, for a record."""
    return {
        "cpu": cpu_model(),
        "usable_cores": usable_cores(),
        "available_memory": available_memory(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def tree_cpu(root: int) -> float:
    """CPU seconds so far of a process and its descendants that have not ended."""
    times: dict[int, tuple[int, int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        times[int(folder.name)] = int(fields[1]), int(fields[11]) + int(fields[12])
    members, before = {root}, set[int]()
    while members != before:
        before = set(members)
        members |= {process for process, (parent, _) in times.items() if parent in members}
    ticks = sum(times[process][1] for process in members if process in times)
    return ticks / os.sysconf("SC_CLK_TCK")
