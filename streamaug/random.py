"""Counter-based random numbers: a number is a pure function of (seed, epoch, sample id, stream, draw index).

Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), vectorised in numpy. There is no
state, so no worker, rank, batch size or order of calls can change a number.
"""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

__all__ = ["Stream", "keys", "philox4x32", "uniform", "words"]

UInt32Array = npt.NDArray[np.uint32]

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


class Stream(IntEnum):
    """Users of random numbers. Streams are independent; the value of a removed stream is not used again."""

    SHARD_ORDER = 1
    TAPE_ROTATION = 2
    RUN_ORDER = 3
    STAND_IN = 4
    MIXTURE = 5
    WRITING_ORDER = 8
    LANE_ORDER = 9
    MIX = 16
    NOISE_FIELD = 32
    #: Operation i of a recipe draws from OPERATIONS + i, and for a stand-in of attempt a from SUBSTITUTE_OPERATIONS
    #: + a · 4096 + i.
    OPERATIONS = 4096
    SUBSTITUTE_OPERATIONS = 1 << 20


def philox4x32(counter: npt.ArrayLike, key: npt.ArrayLike) -> UInt32Array:
    """The Philox4x32-10 block function.

    Args:
        counter: uint32 (..., 4), word 0 first.
        key: uint32 (..., 2); its leading dimensions broadcast against the counter's.

    Returns:
        uint32 (..., 4).

    Raises:
        ValueError: If the last dimensions are not 4 and 2.
    """
    counters, keys = np.asarray(counter, np.uint32), np.asarray(key, np.uint32)
    if counters.shape[-1:] != (4,) or keys.shape[-1:] != (2,):
        raise ValueError(
            f"philox4x32: counter must end in 4 words and key in 2, got shapes {counters.shape} and {keys.shape}. "
            "Pass uint32 arrays (..., 4) and (..., 2)."
        )
    words = [counters[..., i].astype(np.uint64) for i in range(4)]
    key0, key1 = keys[..., 0].astype(np.uint64), keys[..., 1].astype(np.uint64)
    return np.stack(_rounds(words, key0, key1), axis=-1).astype(np.uint32)


def _rounds(
    words: list[npt.NDArray[np.uint64]], key0: npt.NDArray[np.uint64], key1: npt.NDArray[np.uint64]
) -> list[npt.NDArray[np.uint64]]:
    c0, c1, c2, c3 = words
    for number in range(_ROUNDS):
        k0 = (key0 + np.uint64(number * _WEYL[0] & 0xFFFFFFFF)) & _LOW
        k1 = (key1 + np.uint64(number * _WEYL[1] & 0xFFFFFFFF)) & _LOW
        product0, product1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (product1 >> _HALF) ^ c1 ^ k0, product1 & _LOW, (product0 >> _HALF) ^ c3 ^ k1, product0 & _LOW
    return [c0, c1, c2, c3]


def words(seed: int, epoch: int, ids: npt.NDArray[np.int64], *, stream: int, blocks: int) -> npt.NDArray[np.uint32]:
    """uint32 (B, 4·blocks): the raw words of each id, whose counter is (draw index, id low, id high, stream)."""
    wide = np.asarray(ids).astype(np.int64).view(np.uint64)[..., None]
    index = np.arange(blocks, dtype=np.uint64)
    shape = np.broadcast_shapes(wide.shape, index.shape)
    zero = np.zeros(shape, np.uint64)
    counters = [zero + index, zero + (wide & _LOW), zero + (wide >> _HALF), zero + np.uint64(stream & 0xFFFFFFFF)]
    key0, key1 = (np.array(value & 0xFFFFFFFF, np.uint64) for value in (seed, epoch))
    out = np.stack(_rounds(counters, key0, key1), axis=-1).astype(np.uint32)
    return out.reshape(*out.shape[:-2], blocks * 4)


def keys(seed: int, epoch: int, ids: npt.NDArray[np.int64], *, stream: int) -> npt.NDArray[np.uint64]:
    """uint64 (B,): 64 random bits of each id, its first two words joined; to sort by them is to shuffle."""
    raw = words(seed, epoch, ids, stream=stream, blocks=1).astype(np.uint64)
    return (raw[:, 0] << _HALF) | raw[:, 1]


def uniform(
    seed: int, epoch: int, sample_ids: npt.NDArray[np.int64], *, stream: int, n: int
) -> npt.NDArray[np.float64]:
    """Uniform numbers of each sample: row b depends on (seed, epoch, sample_ids[b], stream) alone.

    Args:
        seed: Any integer, taken mod 2³².
        epoch: Any integer, taken mod 2³².
        sample_ids: int64 (B,).
        stream: The stream that draws, see `Stream`; 0 to 2³² − 1.
        n: Numbers per sample. The first n of a longer draw are the same numbers.

    Returns:
        float64 (B, n) in [0, 1), with 53 random bits each.
    """
    ids = np.asarray(sample_ids, np.int64)
    if n == 0:
        return np.zeros((*ids.shape, 0))
    raw = words(seed, epoch, ids, stream=stream, blocks=-(-n // 2)).astype(np.uint64)
    high, low = raw[..., 0::2] >> np.uint64(5), raw[..., 1::2] >> np.uint64(6)
    return ((high << np.uint64(26)) + low)[..., :n] * (1.0 / (1 << 53))
