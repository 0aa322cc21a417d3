"""The batches under way in DALI: submitted, collected in order, and after a refusal all submitted anew.

In: jobs, whose inputs are kept until their batch is collected. Out: DALI's tensors, bit for bit the same whether or not
a batch ran again. The rows that DALI cannot decode are found by `recover` and replaced; an error for which no sample is
to blame is raised behind the batches before it.
"""

from collections import deque

import torch

from streamaug.batch import EncodedBatch
from streamaug.dali.counting import PipelineCounts
from streamaug.dali.graph import define
from streamaug.dali.intake import Intake, Waiting
from streamaug.dali.prepare import Job, Preparer
from streamaug.dali.recover import undecodable
from streamaug.dali.runner import Runner


class Flight:
    """The jobs under way, and the pipeline that runs them.

    Args:
        prefetch: Batches under way at a time.
        hw_decoder_load: Share of JPEGs for a GPU's own decoder, 0..1.

    Attributes:
        runner: The pipeline; None before the first job, and after a failure.
        recoveries: The number of batches so far that DALI refused, after which its pipeline was built anew.
    """

    def __init__(self, prefetch: int, hw_decoder_load: float) -> None:
        self._prefetch, self._hw_decoder_load = prefetch, hw_decoder_load
        self._device: int | None = None
        self._threads = 1
        self._counts = PipelineCounts()
        self.runner: Runner | None = None
        self.recoveries = 0
        #: The preparer of the runner, and the runner's batch size, in samples of DALI's.
        self._largest: tuple[Preparer | None, int] = (None, 0)
        self._jobs: deque[Job] = deque()
        #: Jobs of the next pass, under way behind all of this one.
        self._begun: deque[Job] = deque()

    def begin(self, device: int | None, threads: int, counts: PipelineCounts) -> None:
        """Be ready for a pass on a device, None being the CPU; a pass that was left before its end is dropped."""
        if self._jobs or not self._begun or device != self._device:
            self.drain()
        self._device, self._threads, self._counts = device, threads, counts

    def __len__(self) -> int:
        """Batches of this pass under way."""
        return len(self._jobs)

    @property
    def oldest(self) -> Job:
        """The job whose outputs were collected last."""
        return self._jobs[0]

    def take(self) -> Job:
        """The oldest job, which is under way no more."""
        return self._jobs.popleft()

    def has_room(self, job: Waiting) -> bool:
        """Whether a job may be submitted now: below `prefetch`, and to the pipeline that runs, unless it is idle."""
        under_way = len(self._jobs) + len(self._begun)
        return under_way < self._prefetch and (not under_way or self._fits(job))

    def begin_next(self, job: Job, intake: Intake) -> None:
        """Hand a job of the next pass to the pipeline that runs; where it fails, nothing of the next pass is kept."""
        if self.runner is None:
            return
        self._begun.append(job)
        try:
            self.runner.submit(job.inputs)
        except (RuntimeError, MemoryError):
            self._forget_next(intake)
            self._start_anew(list(self._jobs), intake)

    def take_over(self, batch: EncodedBatch, intake: Intake) -> bool:
        """Whether the pass before has begun this batch, now under way here; else all that it began is dropped."""
        if not self._begun:
            return False
        if self._begun[0].batch is batch:
            self._jobs.append(self._begun.popleft())
            return True
        # It is another pass than the one that was begun, or a row was replaced.
        jobs = list(self._jobs)
        self.drain()
        self._start_anew(jobs, intake)
        return False

    def close(self) -> None:
        """Free the pipeline; the next job builds another."""
        self._jobs.clear()
        self._begun.clear()
        runner, self.runner = self.runner, None
        if runner is not None:
            runner.close()

    def _fits(self, job: Job | Waiting) -> bool:
        runner = self.runner
        if runner is None or runner.owner is not job.preparer or runner.device != self._device:
            return False
        return len(job.batch.data) * job.preparer.layout.rows_per_image <= runner.batch_size

    def submit(self, job: Job, intake: Intake) -> None:
        """Hand a job to DALI; where it fails, its rows are replaced, or the intake ends with the error."""
        self._jobs.append(job)
        try:
            try:
                self._start(job)
            except RuntimeError as error:
                self._recover(error, intake)
        except (RuntimeError, MemoryError) as error:
            self._give_up(error, intake)

    def _start(self, job: Job) -> None:
        if not self._fits(job):
            self.runner = None
            preparer, load = job.preparer, self._hw_decoder_load
            # After a refusal larger batches may be under way than the first that is started anew.
            owner, largest = self._largest
            self._largest = preparer, max(job.rows, largest if owner is preparer else 0)
            self._counts.pipelines += 1
            with self._counts.building:
                self.runner = Runner(
                    lambda nodes: define(preparer.layout, nodes[0], preparer.named(nodes[1:]), load),
                    owner=preparer,
                    inputs=len(preparer.names) + 1,
                    batch_size=self._largest[1],
                    num_threads=self._threads,
                    prefetch=self._prefetch,
                    device=self._device,
                )
        if self.runner is not None:
            self.runner.submit(job.inputs)

    def collect(self, intake: Intake) -> list[torch.Tensor] | None:
        """DALI's outputs for the oldest batch; None if it could not be made, and the intake holds the error instead."""
        while self._jobs and self.runner is not None:
            try:
                with self._counts.in_pipeline:
                    return self.runner.collect()
            except RuntimeError as error:
                self._recover(error, intake)
        return None

    def _recover(self, error: RuntimeError, intake: Intake) -> None:
        """After DALI refused a batch: replace the rows that it cannot decode, and start all batches under way anew.

        Raises:
            RuntimeError: `error`, if every sample decodes on the CPU, so that no sample is to blame.
        """
        self.runner = None
        self.recoveries += 1
        self._forget_next(intake)
        jobs, self._jobs = list(self._jobs), deque()
        replaced = False
        for job in jobs:
            problems = undecodable(job)
            if problems:
                replaced = True
                try:
                    job = job.preparer.prepare(intake.replace(job.batch, problems), intake.replace)
                except Exception as refusal:  # noqa: BLE001 - raised again, after the batches before it
                    intake.ended, intake.error, intake.waiting = True, refusal, None
                    break
            self._jobs.append(job)
        if not replaced:
            where = "the CPU" if self._device is None else f"cuda:{self._device}"
            error.add_note(
                f"augment: DALI failed on {where}, and each sample under way decodes on a CPU by itself: none is to "
                "blame, and none was replaced. For want of memory, give smaller batches or augment(prefetch=1)."
            )
            raise error
        self._start_anew(list(self._jobs), intake)

    def _forget_next(self, intake: Intake) -> None:
        """Begin nothing of the next pass any more: that pass judges its own samples, from the first batch on."""
        self._begun.clear()
        intake.begin_next = intake.following = None

    def _start_anew(self, jobs: list[Job], intake: Intake) -> None:
        self._jobs = deque()
        for job in jobs:
            self.submit(job, intake)
            if not self._jobs or self._jobs[-1] is not job:
                return  # the batch that was given up, and those after it

    def _give_up(self, error: Exception, intake: Intake) -> None:
        """After an error of the batch that was submitted last: the batches before it run anew, then it is raised."""
        intake.ended, intake.error, intake.waiting = True, error, None
        self._forget_next(intake)
        jobs, self._jobs, self.runner = list(self._jobs)[:-1], deque(), None
        try:
            for job in jobs:
                self._jobs.append(job)
                self._start(job)
        except (RuntimeError, MemoryError):  # the pipeline is dead, and the first error says why
            self._jobs.clear()
            self.runner = None

    def drain(self) -> None:
        """Empty the pipeline; drop it if it is dead."""
        self._jobs.clear()
        self._begun.clear()
        try:
            if self.runner is not None:
                self.runner.drain()
        except (RuntimeError, MemoryError):
            self.runner = None
