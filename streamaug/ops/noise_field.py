"""Fixed fields of random numbers, from which noise operations give each sample a window.

In: a node that says where each sample's window starts. Out: a node with that window. A field is a constant of the
graph, the same in every process and release, so that noise is a function of the sample; DALI's own noise operators also
depend on the batch and the threads, and are slow (`noise.gaussian` 6.67 core-milliseconds for 224² on CPU, a window
0.07).
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from streamaug.ops.nodes import Arguments, Node
from streamaug.random import Stream, words

#: The number of starts of a window. In one batch of five, two of 256 samples have the same window.
STARTS = 1 << 17
#: The Gaussian field holds round(GAUSSIAN_CENTER + GAUSSIAN_STD · z), with |z| < 4.
GAUSSIAN_CENTER, GAUSSIAN_STD = 128, 32
_TYPES = {1: "UINT8", 2: "UINT16"}


def window_starts(draws: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """The starts of windows in a field, int32 (B, 1), from uniform numbers (B,)."""
    return (draws * STARTS).astype(np.int32)[:, None]


@lru_cache(maxsize=4)
def uniform_field(count: int) -> npt.NDArray[np.uint8]:
    """uint8 (≥ count,), uniform over 0..255; the start is the same for every count."""
    return _raw(-(-count // 16)).view(np.uint8)


@lru_cache(maxsize=4)
def gaussian_field(count: int) -> npt.NDArray[np.uint8]:
    """uint8 (≥ count,), normal with `GAUSSIAN_CENTER` and `GAUSSIAN_STD`; the start is the same for every count."""
    from scipy.special import ndtri  # 0.4 s to import, which only a graph with noise should pay

    normal = ndtri((_raw(-(-count // 4)) + 0.5) / 2.0**32)
    limit = GAUSSIAN_CENTER - 1
    numbers = np.clip(np.rint(normal * GAUSSIAN_STD), -limit, limit) + GAUSSIAN_CENTER
    return np.asarray(numbers, np.uint8)


def _raw(blocks: int) -> npt.NDArray[np.uint32]:
    return words(0, 0, np.arange(blocks), stream=Stream.NOISE_FIELD, blocks=1).reshape(-1)


def gaussian_window(arguments: Arguments, start: Node) -> Node:
    """A window (H, W, 3) of the Gaussian field, uint8, from `start` on, int32 (1,) per sample."""
    count = arguments.height * arguments.width * 3
    return _window(arguments, gaussian_field(STARTS + count), 1, start, 3)


def uniform_window(arguments: Arguments, start: Node, *, channels: int, width: int = 1) -> Node:
    """A window (H, W, `channels`) of the uniform field, whole numbers of `width` bytes (1 or 2), from `start` on."""
    count = (STARTS + arguments.height * arguments.width * channels) * width
    return _window(arguments, uniform_field(count), width, start, channels)


def _window(arguments: Arguments, field: npt.NDArray[np.uint8], width: int, start: Node, channels: int) -> Node:
    fn, types = arguments.fn, arguments.types
    packed = field[: len(field) // 4 * 4].view(np.int32)  # four bytes in each of the Python integers
    constant = arguments.constant(packed.tolist(), [len(packed)], types.INT32)
    numbers = fn.reinterpret(constant, dtype=getattr(types, _TYPES[width]))
    count = arguments.height * arguments.width * channels
    shape = [arguments.height, arguments.width, channels]
    return fn.reshape(fn.slice(numbers, start=start, shape=[count], axes=[0]), shape=shape, layout="HWC")
