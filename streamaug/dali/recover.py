"""Which rows of a batch DALI cannot decode, found one by one in pipelines that are thrown away.

Each row is decoded with its own window, as the batch does, so the verdict does not depend on the row's neighbours. It
may depend on the window: a TIFF whose lower strips are damaged decodes where the crop lies above them. Such a sample is
bad in one epoch and good in the next, whoever reads it; a row that no window of decodes is bad for good, and said so.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from streamaug.batch import Problem
from streamaug.dali.feed import Job
from streamaug.dali.graph import decode
from streamaug.dali.runner import Runner
from streamaug.errors import BadSampleError
from streamaug.image_header import starts_at_front


def undecodable(job: Job, device: int | None) -> dict[int, Problem]:
    """The rows that DALI refuses to decode, with its reason.

    Args:
        job: The batch.
        device: Index of the CUDA device, None for the CPU.
    """
    decoder = _Decoder(job, device)
    problems: dict[int, Problem] = {}
    for row in range(job.size):
        refusal = decoder.refusal([array[row : row + 1] for array in job.arrays[:3]])
        if refusal is not None:
            lasting = starts_at_front(job.batch.data[row]) and all(
                decoder.refusal([job.arrays[0][row : row + 1], place, np.ones((1, 2), np.int32)]) is not None
                for place in _ends(job, row)
            )
            problems[row] = Problem(f"DALI cannot decode it: {refusal}", BadSampleError, lasting=lasting)
    return problems


def telling(error: str) -> str:
    """What a DALI error says happened: what it "encountered", without the trace before it and the advice after it."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Current pipeline object")]
    if "encountered:" in lines:
        lines = lines[lines.index("encountered:") + 1 :]
    else:
        lines = [line for line in lines if not line.startswith("Critical error in pipeline")]
    # The number is that of a batch of one.
    return lines[0].replace(" #0 :", "") if lines else "no reason given"


def _ends(job: Job, row: int) -> list[Any]:
    """The places of the first and the last pixel, int32 (1, 2) each.

    Whichever way the image is turned, one of them is in the first row that is stored and the other in the last: no
    other window needs less than the one, or more than the other.
    """
    header = job.headers[row]
    height, width = header[:2] if header.orientation < 5 else (header.width, header.height)
    return [np.array([place], np.int32) for place in ((0, 0), (height - 1, width - 1))]


class _Decoder:
    """Decodes samples one at a time; a refusal ends its pipeline, and the next sample gets a new one."""

    def __init__(self, job: Job, device: int | None) -> None:
        self._job, self._device = job, device
        self._runner: Runner | None = None

    def refusal(self, arrays: Sequence[Any]) -> str | None:
        """Why a sample is not decoded, None if it is; arrays: its bytes, and its window's start and shape."""
        if self._runner is None:
            self._runner = self._built()
        try:
            self._runner.submit(arrays)
            self._runner.collect()
        except RuntimeError as error:
            self._runner = None
            return telling(str(error))
        return None

    def _built(self) -> Runner:
        layout, names = self._job.preparer.layout, self._job.preparer.names[:2]
        where = "cpu" if self._device is None else "gpu"
        return Runner(
            lambda nodes: [decode(layout, nodes[0], dict(zip(names, nodes[1:], strict=True)), where)],
            owner=None,
            inputs=3,
            batch_size=1,
            num_threads=1,
            prefetch=1,
            device=self._device,
        )
