"""The rows of a batch that DALI cannot decode: it decodes each alone, on the CPU, in a pipeline that a refusal ends.

A GPU that fails (out of memory, an illegal access, a codec that cannot do what the CPU's can) fails for the whole
batch, whatever its samples are, so no error of a device is a verdict.

Each row is decoded with its own window, as the batch does, so the verdict does not depend on the row's neighbours. It
may depend on the window: a TIFF whose lower strips are damaged decodes where the crop lies above them. Such a sample is
bad in one epoch and good in the next, on any rank. A row has a lasting problem only if DALI refuses every window of it.
"""

from typing import Any

import numpy as np

from streamaug.dali.prepare import Job
from streamaug.dali.sample_decoder import RefusedError, SampleDecoder
from streamaug.errors import BadSampleError
from streamaug.samples.image_header import Header, starts_at_front
from streamaug.samples.problem import Problem


def undecodable(job: Job) -> dict[int, Problem]:
    """The rows of a batch that DALI refuses to decode on the CPU, with its reason.

    Raises:
        MemoryError: If memory does not suffice to decide.
    """
    decoder = SampleDecoder()
    problems: dict[int, Problem] = {}
    for row in range(job.size):
        image, start, shape = (array[row : row + 1] for array in job.arrays[:3])
        refusal = _refusal(decoder, image, start, shape)
        if refusal is not None:
            lasting = starts_at_front(job.batch.data[row]) and all(
                _refusal(decoder, image, corner, np.ones((1, 2), np.int32)) is not None
                for corner in _corners(job.headers[row])
            )
            problems[row] = Problem(f"DALI cannot decode it: {refusal}", BadSampleError, lasting=lasting)
    return problems


def _refusal(decoder: SampleDecoder, image: list[Any], start: Any, shape: Any) -> str | None:
    """The reason why DALI does not decode a window of a sample, None if it does."""
    try:
        decoder.decode_arrays(image, start, shape)
    except RefusedError as reason:
        return str(reason)
    return None


def _corners(header: Header) -> list[Any]:
    """Row and column of the first and the last pixel, int32 (1, 2) each.

    No window needs less of the file than the first pixel, or more than the last.
    """
    return [np.array([corner], np.int32) for corner in ((0, 0), (header.height - 1, header.width - 1))]
