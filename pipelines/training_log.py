"""The log of a run: lines to read, and the same as JSON lines, of which curves can be drawn.

A record has an `event` ("begin", "resumed", "step", "validation", "stopped", "done"), and the fields of that event;
numbers are written so that reading them gives back every bit. A resumed run appends: the last record of a step counts.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from batch_log import appending
from launch import Job
from tqdm import tqdm

from streamaug import Batch, Stage, Stats, progress

Value = float | str | bool | list[object] | dict[str, object] | None


class TrainingLog:
    """Prints on the first rank, and appends records to a file if a path is given.

    Args:
        job: This process among its ranks.
        path: The JSON lines; None: no file.
        every: Updates between two step lines.
    """

    def __init__(self, job: Job, path: Path | None, every: int) -> None:
        self._job, self._every = job, every
        self._file = None
        if path is not None and job.is_first:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = appending(path)
        self._stage: Stage | None = None
        self._before = Stats()
        self._start()

    def _start(self) -> None:
        self._since, self._waited, self._images = time.perf_counter(), 0.0, 0
        if self._stage is not None:
            self._before = self._stage.stats()

    def event(self, name: str, text: str, record: dict[str, Value]) -> None:
        """Print the text and write the record, on the first rank alone."""
        if not self._job.is_first:
            return
        tqdm.write(text)  # above a bar, where there is one
        sys.stdout.flush()
        if self._file is not None:
            self._file.write(json.dumps({"event": name, "time": time.time()} | record) + "\n")

    def timed(self, pipe: Stage) -> Iterator[Batch]:
        """The batches of the pipe, with the time spent on waiting for each, and a bar on a terminal."""
        self._stage = pipe
        self._start()
        batches = progress(pipe)
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                return
            self._waited += time.perf_counter() - asked
            self._images += len(batch.images) * self._job.world_size
            yield batch

    def step(self, batch: Batch, steps: int, update: int, loss: torch.Tensor, learning_rate: float) -> None:
        """Report every `every`-th update, and the last update of an epoch.

        Args:
            batch: The last batch of the update.
            steps: Batches of the epoch.
            update: Number of the update in its epoch, from 1.
            loss: Of this rank's batches of the update.
            learning_rate: The learning rate of the update.
        """
        done = batch.origin.step + 1
        if not self._job.is_first or (update % self._every and done != steps):
            return
        value = loss.item()  # waits for the device, so that the time below is that of finished work
        seconds = time.perf_counter() - self._since
        rate, waited = self._images / seconds, self._waited / seconds
        epoch, size = batch.origin.epoch + 1, batch.images.shape[-1]
        record: dict[str, Value] = {"epoch": epoch, "step": done, "steps": steps, "loss": value, "size": size}
        record |= {"learning_rate": learning_rate, "images_per_second": rate, "waited_for_data": waited}
        record |= {"late": "" if self._stage is None else self._stage.stats().since(self._before).late}
        done_text = f"epoch {epoch}  step {done}/{steps}  loss {value:.3f}"
        data_text = f"{rate:.0f} images/s  waited for data {waited:.0%}  late: {record['late']}"
        self.event("step", f"{done_text}  {data_text}", record)
        self._start()
