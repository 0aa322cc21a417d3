"""Warnings about shards that are opened without an index: of skipped members, and of components that no sample has.

In: the samples of each shard that was read. Out: a warning, or an error that names a shard and the cause.
"""

import threading
import warnings
from collections.abc import Sequence

from streamaug.errors import ShardError
from streamaug.shards.index import Components, Sample
from streamaug.shards.names import PassedOver
from streamaug.storage.location import Location


class Survey:
    """Collects the facts of shards, from any number of threads.

    Args:
        components: Each asked component's alternatives, the image first.

    Attributes:
        passed_over: Members that are part of no sample, of all shards together.
    """

    def __init__(self, components: Components) -> None:
        self.passed_over = PassedOver()
        self._images = frozenset(components[0])
        self._lock = threading.Lock()
        self._has_image = False
        self._dotted: tuple[str, Sample] | None = None

    def add(self, shard: Location, samples: Sequence[Sample], passed_over: PassedOver) -> None:
        """Note a shard that was read."""
        has_image = any(not self._images.isdisjoint(sample.members) for sample in samples)
        dotted = None if has_image else next(filter(self._is_dotted, samples), None)
        with self._lock:
            self.passed_over.merge(passed_over)
            self._has_image |= has_image
            if dotted is not None and self._dotted is None:
                self._dotted = shard.shown, dotted

    def report(self) -> None:
        """Warn of skipped members.

        Raises:
            ShardError: If no sample has an image because of dots in the names.
        """
        if self._dotted is not None and not self._has_image:
            shard, sample = self._dotted
            suffix = next(suffix for suffix in sample.members if self._ends_as_image(suffix))
            raise ShardError(
                f"{shard}: samples must have a component {' or '.join(sorted(self._images))}, got the suffixes "
                f"{', '.join(sample.members)} in sample {sample.key!r}: a suffix begins at the first dot of a name. "
                f'Write the shards without dots in the stems, or ask for components=("{suffix}", …).'
            )
        said = self.passed_over.described(usual=False)
        if said:
            warnings.warn(
                f"shards: members that are part of no sample were passed over: {said}. "
                "Nothing need be done if no image or label is among them.",
                UserWarning,
                stacklevel=3,
            )

    def _is_dotted(self, sample: Sample) -> bool:
        return any(map(self._ends_as_image, sample.members))

    def _ends_as_image(self, suffix: str) -> bool:
        return "." in suffix and suffix.rpartition(".")[2] in self._images


def check_samples(urls: Sequence[str], counts: Sequence[int], passed_over: PassedOver) -> None:
    """Refuse a set without a sample.

    Raises:
        ShardError: If no shard has a sample; names the first shard.
    """
    if any(counts):
        return
    inside = passed_over.described(usual=True)
    more = f" and {len(urls) - 1} more" if len(urls) > 1 else ""
    raise ShardError(
        f"{Location.parse(urls[0]).shown}{more}: a set must have a sample, got none"
        f"{f', but {inside}' if inside else ''}. The tar is empty or of other files: write it again."
    )
