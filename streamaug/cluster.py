"""Work on many shards by a Ray cluster: one task for each item, which Ray repeats where its node or process is lost.

In: a function that can be pickled, items, the cluster's address. Out: results as they end. It knows nothing of shards,
and imports Ray only when it is asked to work. A task must write the same files on any node, and write each of them
atomically.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any, TypeVar

from streamaug.errors import StreamaugError

S = TypeVar("S")
T = TypeVar("T")

#: How often Ray gives a task to another process after one was lost: a task that itself exhausts memory must end.
RETRIES = 8
#: Tasks handed over for each CPU: one runs, the next waits beside it.
_AHEAD = 2


class ClusterError(StreamaugError):
    """The cluster cannot be used, or lost a task too often."""


def on_ray(
    address: str, function: Callable[[S], T], items: Sequence[S] | Iterator[S], *, tick: Callable[[], None]
) -> Iterator[tuple[int, T]]:
    """(number of the item, `function(item)`) of all items, in the order in which they end.

    Args:
        address: Of the cluster: "auto", host:port, or ray://host:port.
        function: The work; it goes to the nodes once, which must have this package.
        items: Handed over in their order, a few ahead of the work.
        tick: Called at least twice a second.

    Raises:
        ClusterError: If there is no Ray or no such cluster, or a task was lost too often.
        Exception: As the function raises.
    """
    with _connected(address) as ray:
        shared = ray.put(function)
        task = ray.remote(num_cpus=1, max_retries=RETRIES, retry_exceptions=False)(_call)
        waiting = enumerate(items)
        under_way: dict[Any, int] = {}
        try:
            while True:
                _fill(ray, under_way, waiting, lambda item: task.remote(shared, item))
                if not under_way:
                    return
                ready, _ = ray.wait(list(under_way), num_returns=1, timeout=0.5)
                tick()
                for reference in ready:
                    yield under_way.pop(reference), _result(ray, reference)
        finally:
            for reference in under_way:
                ray.cancel(reference, force=True)


def _call(function: Callable[[S], T], item: S) -> T:
    return function(item)


def _fill(ray: Any, under_way: dict[Any, int], waiting: Iterator[tuple[int, S]], start: Callable[[S], Any]) -> None:
    """Hand over tasks until each CPU that the cluster has at this moment has its share."""
    limit = _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
    while len(under_way) < limit:
        following = next(waiting, None)
        if following is None:
            return
        number, item = following
        under_way[start(item)] = number


def _result(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, Exception) else error) from None
    except ray.exceptions.RayError as error:
        reason = str(error).strip().partition("\n")[0]
        raise ClusterError(
            f"--ray: the cluster must end each task, got one that was lost {RETRIES + 1} times: {reason} Where memory "
            "ran out, make smaller shards; run the same command again, finished work is kept."
        ) from error


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    try:
        import ray
    except ImportError:
        raise ClusterError("--ray: needs Ray, got none. Install it: pip install 'streamaug[ray]'.") from None
    begun_here = not ray.is_initialized()
    try:
        if begun_here:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ClusterError(
            f"--ray: must be the address of a running cluster, got {address!r}: {reason} Write auto, host:6379 or "
            "ray://host:10001."
        ) from error
    try:
        with redirect_stdout(sys.stderr):  # Ray tells of lost workers on stdout, where results belong
            yield ray
    finally:
        if begun_here:
            ray.shutdown()
