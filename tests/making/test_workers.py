"""Processes: results, errors, and ends that nobody planned."""

import gc
import multiprocessing
import os
import signal
import threading

import pytest

from streamaug.errors import ShardError
from streamaug.making.workers import WorkerError, in_processes


def run(function, tasks, processes=2, fork=True, count=lambda number: None):
    return list(in_processes(function, tasks, processes=processes, count=count, fork=fork))


def squared(task, count):
    count(1)
    return task * task


@pytest.mark.slow
@pytest.mark.parametrize("fork", [True, False])
def test_all_tasks_are_done_and_counted(fork):
    counts = []
    assert sorted(run(squared, range(20), fork=fork, count=counts.append)) == [n * n for n in range(20)]
    assert sum(counts) == 20
    assert run(squared, []) == []


def test_no_more_processes_are_started_than_there_are_tasks():
    assert len(set(run(lambda task, count: os.getpid(), range(2), processes=8))) <= 2


def test_an_error_of_a_task_ends_all_and_keeps_its_class():
    def fail(task, count):
        raise ShardError(f"task {task}") if task == 3 else KeyError("a fault of ours")

    with pytest.raises(ShardError, match="task 3"):
        run(fail, [3])
    with pytest.raises(KeyError) as caught:
        run(fail, [4])
    assert "in fail" in caught.value.__notes__[0]
    assert not multiprocessing.active_children()


def test_a_worker_that_is_killed_is_an_error_that_says_so():
    with pytest.raises(WorkerError, match=r"got one that ended with -9\. Where it is -9, memory ran out"):
        run(lambda task, count: os.kill(os.getpid(), signal.SIGKILL), [0, 1])


def test_what_is_garbage_in_the_process_that_asked_is_not_taken_apart_in_a_fork():
    """As a DALI pipeline's, an end may wait for threads that a fork lacks."""
    asked = os.getpid()
    ended_in = []

    class Circle:
        def __init__(self):
            self.itself = self

        def __del__(self):
            ended_in.append(os.getpid())

    def work(task, count):
        gc.collect()
        return list(ended_in)

    gc.disable()
    try:
        Circle()
        assert run(work, [0, 1]) == [[], []]
    finally:
        gc.enable()
    gc.collect()
    assert ended_in == [asked]


def test_ctrl_c_is_left_to_the_process_that_asked(interruptible):
    assert run(lambda task, count: os.kill(os.getpid(), signal.SIGINT), [0]) == [None]


def test_workers_end_when_the_process_that_asked_is_killed():
    """A pipe that every worker holds open comes to its end once all of them are gone."""
    ours, theirs = os.pipe()

    def asks():
        os.close(ours)
        parent = os.getpid()

        def work(task, count):
            os.write(theirs, b"x")
            if task == 2:
                os.kill(parent, signal.SIGKILL)
            threading.Event().wait()

        run(work, range(3), processes=3)

    process = multiprocessing.get_context("fork").Process(target=asks)
    process.start()
    os.close(theirs)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    while os.read(ours, 10):
        pass
    os.close(ours)
