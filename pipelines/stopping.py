"""Ends a program between two steps when Ctrl-C or a scheduler asks for it, on all ranks after the same step.

Schedulers send SIGTERM to end a job, and torchrun hands it on to its ranks; Slurm sends SIGUSR1 ahead of the end
(`sbatch --signal=USR1@300`). torchrun itself dies of SIGUSR1: send it to any rank, not to torchrun.
"""

import signal
from types import FrameType

from launch import Job

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class StopRequest:
    """Notes a signal instead of dying of it; the loop asks after each step."""

    def __init__(self, job: Job) -> None:
        self.signal = 0
        self._job = job
        for number in SIGNALS:
            signal.signal(number, self._note)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.signal = number

    def agreed(self) -> bool:
        """Whether any rank was asked to stop: all ranks stop after the same step."""
        return self._job.any(self.signal != 0)

    @property
    def exit_code(self) -> int:
        """The exit code by which a shell reports the signal; another rank's signal counts as SIGTERM."""
        return 128 + (self.signal or signal.SIGTERM)
