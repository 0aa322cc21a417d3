"""`MapSamples`: relabel or reject samples before they are decoded, with the order and the batch counts kept.

In: encoded batches. Out: the same batches, with other labels or captions, and with a deterministic stand-in for every
rejected sample. It never looks at images.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from streamaug.batch import EncodedBatch
from streamaug.encoded import Encoded
from streamaug.reader.state import EpochPass
from streamaug.samples.problem import Problem
from streamaug.stages.base import Stage

SampleFunction = Callable[[str, dict[str, bytes]], Mapping[str, Encoded] | None]


class MapSamples(Stage):
    """Applies a function to the components of every sample but the image.

    A rejected sample is replaced as a bad one is: by another sample of its run where one is usable, in an order
    that depends on seed, epoch and position alone. So every rank has as many batches as before, and global batches are
    the same on any number of ranks. Rejection is no error, whatever `on_bad_sample` says; `origin.is_substitute` marks
    the row.

    Args:
        source: A `ShardReader`, or another `MapSamples`.
        fn: Takes a key and {component: bytes} without the image; returns the same components with new bytes, or None to
            reject the sample. It must depend on its arguments alone, or runs will not repeat.

    Raises:
        TypeError: If fn is not callable, or the source delivers decoded batches.
    """

    def __init__(self, source: Stage, fn: SampleFunction) -> None:
        super().__init__(source)
        if not callable(fn):
            raise TypeError(f"MapSamples.fn: must be callable, got {type(fn).__name__}. Pass fn(key, components).")
        self._fn = fn

    def run(self, epoch_pass: EpochPass) -> Iterator[EncodedBatch]:
        """The encoded batches of a pass, mapped."""
        for batch in self.source.run(epoch_pass):
            if not isinstance(batch, EncodedBatch):
                raise TypeError(
                    f"MapSamples.source: must deliver encoded batches, got {type(batch).__name__}. "
                    "Put map_samples before augment, or use map_batch after it."
                )
            yield self._mapped(batch, range(len(batch.data)))

    def _replace(self, batch: EncodedBatch, problems: Mapping[int, Problem]) -> EncodedBatch:
        """Stand-ins for bad rows go through the function as well."""
        return self._mapped(super()._replace(batch, problems), sorted(problems))

    def _reject(self, batch: EncodedBatch, rows: Sequence[int]) -> EncodedBatch:
        return self._mapped(super()._reject(batch, rows), rows)

    def _mapped(self, batch: EncodedBatch, rows: Sequence[int]) -> EncodedBatch:
        """The batch with the function applied to some rows, and to the stand-ins of those that it rejects."""
        pending = list(rows)
        while pending:
            columns = {name: list(column) for name, column in batch.extras.items()}
            rejected = []
            for row in pending:
                given = {name: bytes(column[row]) for name, column in batch.extras.items()}
                answer = self._answer(batch.origin.keys[row], given)
                if answer is None:
                    rejected.append(row)
                    continue
                for name, value in answer.items():
                    columns[name][row] = value
            batch = EncodedBatch(batch.data, columns, batch.origin, batch.attempts)
            if rejected:
                batch = super()._reject(batch, rejected)
            pending = rejected
        return batch

    def _answer(self, key: str, given: dict[str, bytes]) -> Mapping[str, Encoded] | None:
        """The function's answer for a sample, checked; None rejects the sample."""
        names = set(given)  # the function may change the dict
        try:
            answer = self._fn(key, given)
        except Exception as error:
            error.add_note(f"MapSamples.fn was given the sample {key!r}.")
            raise
        if answer is None:
            return None
        if not isinstance(answer, Mapping) or answer.keys() != names:
            got = sorted(answer) if isinstance(answer, Mapping) else type(answer).__name__
            raise ValueError(
                f"MapSamples.fn: must return the components {sorted(names)} or None, got {got} for "
                f"sample {key!r}. Return them all."
            )
        for name, value in answer.items():
            if not isinstance(value, bytes | bytearray | memoryview):
                raise TypeError(
                    f"MapSamples.fn: must return bytes for each component, got {type(value).__name__} for "
                    f'{name!r} of sample {key!r}. Encode it: b"7".'
                )
        return answer
