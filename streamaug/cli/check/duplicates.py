"""Finds keys that are in more than one shard, without keeping all keys.

In: the inspections of all shards, with 64 bits a key. Out: a finding for each key that an earlier shard has too. It
reads the keys again from the few shards that have such keys.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from streamaug.cli.check.inspector import Finding, Inspection, UInt64Array, digest
from streamaug.errors import ShardError, StorageError
from streamaug.shards.index import Sample, read_index, start_of
from streamaug.shards.scan import scan, stream
from streamaug.storage import Storage
from streamaug.storage.location import shown

_PARTS_LOG2 = 4


def repeated(urls: Sequence[str]) -> list[Finding]:
    """Shards that are listed more than once."""
    return [
        Finding("duplicate", shown(url), None, None, f"it must be listed once, got {count} times. Name it once.")
        for url, count in Counter(urls).items()
        if count > 1
    ]


def between(storage: Storage, results: Sequence[Inspection]) -> list[Finding]:
    """Findings for keys that a later shard has again."""
    shared = in_several([result.digests for result in results])
    first: dict[str, str] = {}
    findings = []
    for result in results:
        if not _among(shared, result.digests).any():
            continue
        samples = _read_again(storage, result)
        for number in np.flatnonzero(_among(shared, np.array([digest(sample.key) for sample in samples], np.uint64))):
            sample = samples[number]
            other = first.setdefault(sample.key, result.url)
            if other != result.url:
                message = f"the key is that of a sample in {shown(other)} too"
                findings.append(Finding("duplicate", shown(result.url), sample.key, start_of(sample), message))
    return findings


def in_several(arrays: Sequence[UInt64Array]) -> UInt64Array:
    """The numbers that are in more than one array, uint64, sorted.

    It sorts a sixteenth at a time, so that it holds little beside the arrays: 10⁸ keys take 0.8 GB and 0.1 more.

    Args:
        arrays: uint64, each sorted and without repetition.
    """
    bounds = np.arange(1, 1 << _PARTS_LOG2, dtype=np.uint64) << np.uint64(64 - _PARTS_LOG2)
    cuts = [[0, *np.searchsorted(array, bounds).tolist(), len(array)] for array in arrays]
    repeated_numbers = [np.zeros(0, np.uint64)]
    for part in range(1 << _PARTS_LOG2):
        pieces = [array[cut[part] : cut[part + 1]] for array, cut in zip(arrays, cuts, strict=True)]
        joined = np.concatenate([np.zeros(0, np.uint64), *pieces])
        joined.sort()
        repeated_numbers.append(np.unique(joined[1:][joined[1:] == joined[:-1]]))
    return np.concatenate(repeated_numbers)


def _among(listed: UInt64Array, numbers: UInt64Array) -> npt.NDArray[np.bool_]:
    """Which of the numbers are in a sorted array, which may be very long: bool (n,)."""
    if not len(listed):
        return np.zeros(len(numbers), np.bool_)
    nearest = np.minimum(np.searchsorted(listed, numbers), len(listed) - 1)
    is_listed: npt.NDArray[np.bool_] = listed[nearest] == numbers
    return is_listed


def _read_again(storage: Storage, result: Inspection) -> list[Sample]:
    """The samples of a shard, as far as they can be read; its inspection has reported the damage already."""
    samples = []
    try:
        for sample in _samples(storage, result):
            samples.append(sample)  # noqa: PERF402 - those before an error count
    except (ShardError, StorageError):
        pass
    return samples


def _samples(storage: Storage, result: Inspection) -> Iterator[Sample]:
    """Samples from the index if it is good, else from the headers; of a broken shard, up to the damage."""
    if result.index is not None:
        index = result.index
        text = (storage.read_all(index) or b"").decode("utf-8", "surrogateescape")
        yield from read_index(text, index.shown, result.num_bytes)
    elif result.is_whole:
        yield from scan(storage, result.url)[0]
    else:
        yield from (sample for sample, _ in stream(storage, result.url, result.num_bytes))
