"""Keys that are in more than one shard, found without keeping all keys.

In: what was seen of all shards, 64 bits a key. Out: a finding for each key that an earlier shard has too. The keys
themselves are read again, of the few shards that have any of them.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from streamaug.cli.finding import Finding, Inspection, UInt64Array, digest, start_of
from streamaug.errors import ShardError, StorageError
from streamaug.storage import Storage
from streamaug.storage.index import Sample, read_index
from streamaug.storage.scan import scan, stream
from streamaug.storage.urls import index_url, shown

_PARTS_LOG2 = 4


def repeated(urls: Sequence[str]) -> list[Finding]:
    """Shards that are listed more than once."""
    return [
        Finding("duplicate", shown(url), None, None, f"it must be listed once, got {count} times. Name it once.")
        for url, count in Counter(urls).items()
        if count > 1
    ]


def between(storage: Storage, results: Sequence[Inspection]) -> list[Finding]:
    """Keys that a later shard has again."""
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
                what = f"the key is that of a sample in {shown(other)} too"
                findings.append(Finding("duplicate", shown(result.url), sample.key, start_of(sample), what))
    return findings


def in_several(arrays: Sequence[UInt64Array]) -> UInt64Array:
    """The numbers that are in more than one array, uint64, sorted.

    They are sorted a sixteenth at a time, so that little is held beside the arrays: 10⁸ keys take 0.8 GB and 0.1 more.

    Args:
        arrays: uint64, each sorted and without repetition.
    """
    bounds = np.arange(1, 1 << _PARTS_LOG2, dtype=np.uint64) << np.uint64(64 - _PARTS_LOG2)
    cuts = [[0, *np.searchsorted(array, bounds).tolist(), len(array)] for array in arrays]
    found = [np.zeros(0, np.uint64)]
    for part in range(1 << _PARTS_LOG2):
        pieces = [array[cut[part] : cut[part + 1]] for array, cut in zip(arrays, cuts, strict=True)]
        joined = np.concatenate([np.zeros(0, np.uint64), *pieces])
        joined.sort()
        found.append(np.unique(joined[1:][joined[1:] == joined[:-1]]))
    return np.concatenate(found)


def _among(known: UInt64Array, asked: UInt64Array) -> npt.NDArray[np.bool_]:
    """Which of the numbers are among the known ones, bool (n,); those are sorted, and may be very many."""
    if not len(known):
        return np.zeros(len(asked), np.bool_)
    places = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    found: npt.NDArray[np.bool_] = known[places] == asked
    return found


def _read_again(storage: Storage, result: Inspection) -> list[Sample]:
    """The samples of a shard, as far as they can be read; what is wrong with it has been found already."""
    samples = []
    try:
        for sample in _samples(storage, result):
            samples.append(sample)  # noqa: PERF402 - those before an error count
    except (ShardError, StorageError):
        pass
    return samples


def _samples(storage: Storage, result: Inspection) -> Iterator[Sample]:
    """From the index if there is a good one, else from the headers; of a broken shard, up to the damage."""
    if result.has_index:
        place = index_url(result.url)
        text = (storage.read_all(place) or b"").decode("utf-8", "surrogateescape")
        yield from read_index(text, place, result.num_bytes)
    elif result.is_whole:
        yield from scan(storage, result.url)[0]
    else:
        yield from (sample for sample, _ in stream(storage, result.url, result.num_bytes))
