"""Which rows of a batch DALI cannot decode, found one by one in pipelines that are thrown away.

Each row is decoded with its own window, as the batch does, so the verdict does not depend on the row's neighbours.
"""

from streamaug.batch import Problem
from streamaug.dali.feed import Job
from streamaug.dali.graph import decode
from streamaug.dali.runner import Runner
from streamaug.errors import BadSampleError


def undecodable(job: Job, device: int | None) -> dict[int, Problem]:
    """The rows that DALI refuses to decode, with its reason.

    Args:
        job: The batch.
        device: Index of the CUDA device, None for the CPU.
    """
    problems: dict[int, Problem] = {}
    runner: Runner | None = None
    for row in range(job.size):
        if runner is None:
            runner = _decoder(job, device)
        try:
            runner.submit([array[row : row + 1] for array in job.arrays[:3]])
            runner.collect()
        except RuntimeError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            problems[row] = Problem(f"DALI cannot decode it: {_telling(lines)}", BadSampleError)
            runner = None
    return problems


def _telling(lines: list[str]) -> str:
    """The line of a DALI error that says what happened."""
    for line in lines:
        if "rror" in line and "Current pipeline object" not in line and "operator" not in line:
            return line
    return lines[0] if lines else "no reason given"


def _decoder(job: Job, device: int | None) -> Runner:
    layout, names = job.preparer.layout, job.preparer.names[:2]
    where = "cpu" if device is None else "gpu"
    return Runner(
        lambda nodes: [decode(layout, nodes[0], dict(zip(names, nodes[1:], strict=True)), where)],
        owner=None,
        inputs=3,
        batch_size=1,
        num_threads=1,
        prefetch=1,
        device=device,
    )
