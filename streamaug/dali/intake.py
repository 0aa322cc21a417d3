"""The source's side of a pass: the batch that was read last and waits for room in DALI, and the end of the source.

In: encoded batches of the reader. Out: what `engine` takes from next, and the error that it raises at last. `engine`
fills it, and `flight` ends it where DALI fails.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from streamaug.batch import EncodedBatch
from streamaug.dali.prepare import Job, Preparer
from streamaug.samples.problem import Replace


@dataclass(slots=True)
class Waiting:
    """The batch that was read last, its preparer, and its job, which the engine's thread may have to make."""

    batch: EncodedBatch
    preparer: Preparer
    job: "Job | Future[Job | None] | None"


@dataclass(slots=True)
class Intake:
    """The source's side of a pass: the batch that was read last and waits, and the error that ended the source.

    Once it has ended, `begin_next` gives batches of the next pass, or None; `following` is one that waits.
    """

    batches: Iterator[EncodedBatch]
    replace: Replace
    begin_next: Callable[[], EncodedBatch | None] | None = None
    waiting: Waiting | None = None
    ended: bool = False
    error: Exception | None = None
    following: Waiting | None = None

    def raise_error(self) -> None:
        """Raise the error that ended the source, if any did, once."""
        error, self.error = self.error, None  # dropped here, so that its traceback's frames are freed at once
        if error is not None:
            try:
                raise error
            finally:
                del error
