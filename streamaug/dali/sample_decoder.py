"""Decodes samples one at a time, in a pipeline that a refusal ends: for verdicts, and to compare decoders.

In: the bytes of an image from `decodable`, and a window. Out: its pixels, or DALI's reason for refusing it.
"""

from typing import Any

import numpy as np
import torch

from streamaug.dali.builds import require_docstrings
from streamaug.dali.decode import decode
from streamaug.dali.feeds import SHAPE, START
from streamaug.dali.runner import Runner
from streamaug.encoded import Encoded
from streamaug.ops.nodes import dali_tensors


class RefusedError(Exception):
    """DALI's reason for not decoding a sample, in one line."""


#: DALI's messages where the machine fails, not the sample.
_OUT_OF_MEMORY = ("out of memory", "bad_alloc", "Cannot allocate memory")


class SampleDecoder:
    """DALI's decoder for one sample at a time, on the CPU; after a refusal the next sample gets a new pipeline.

    A device's own failures say nothing about a sample, so a verdict is the CPU's, and the same on every device.
    """

    def __init__(self) -> None:
        require_docstrings()
        self._runner: Runner | None = None

    def decode(self, image: Encoded, start: tuple[int, int], shape: tuple[int, int]) -> torch.Tensor:
        """A window of an image as stored: uint8 (height, width, 3) RGB.

        Args:
            image: The image's bytes for DALI.
            start: The window's top and left.
            shape: Its height and width.

        Raises:
            RefusedError: If DALI refuses to decode it.
            MemoryError: If memory does not suffice to decide.
        """
        window = [np.array([numbers], np.int32) for numbers in (start, shape)]
        return self.decode_arrays([dali_tensors().TensorCPU(image)], *window)

    def decode_arrays(self, image: list[Any], start: Any, shape: Any) -> torch.Tensor:
        """`decode` of a job's arrays: a list of one image, and int32 (1, 2) each."""
        if self._runner is None:
            self._runner = self._built()
        try:
            self._runner.submit([image, start, shape])
            return self._runner.collect()[0][0]
        except RuntimeError as error:
            self._runner = None
            reason = dali_reason(str(error))
            if any(words in reason for words in _OUT_OF_MEMORY):
                raise MemoryError(f"DALI: {reason}") from error
            raise RefusedError(reason) from error

    def _built(self) -> Runner:
        return Runner(
            lambda nodes: [decode(nodes[0], {START: nodes[1], SHAPE: nodes[2]}, "cpu")],
            owner=None,
            inputs=3,
            batch_size=1,
            num_threads=1,
            prefetch=1,
            device=None,
        )


def dali_reason(error: str) -> str:
    """The cause that a DALI error names: the line after "encountered", without the trace before it."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Current pipeline object")]
    if "encountered:" in lines:
        lines = lines[lines.index("encountered:") + 1 :]
    else:
        lines = [line for line in lines if not line.startswith("Critical error in pipeline")]
    # The number is that of a batch of one.
    return lines[0].replace(" #0 :", "") if lines else "no reason given"
