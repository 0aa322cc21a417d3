"""NVTX ranges: each stage's `next()` between a push and a pop, where a profiler may look, and nothing elsewhere."""

import nvtx
import pytest
import torch
from chains import plain

from streamaug.stages import ranges


class Recorder:
    """Takes pushes and pops, and knows which ranges are open."""

    def __init__(self):
        self.open, self.seen = [], []

    def push(self, name):
        self.open.append(name)
        self.seen.append((len(self.open), name))

    def pop(self):
        self.open.pop()


@pytest.fixture
def recorder(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(nvtx, "push_range", recorder.push)
    monkeypatch.setattr(nvtx, "pop_range", recorder.pop)
    monkeypatch.setattr(torch.cuda.nvtx, "range_push", recorder.push)
    monkeypatch.setattr(torch.cuda.nvtx, "range_pop", recorder.pop)
    monkeypatch.delenv("NVTX_INJECTION64_PATH", raising=False)
    return recorder


@pytest.mark.parametrize("by", ["torch", "nvtx"])
def test_stages_are_ranges_within_each_other_also_after_an_error(uneven, recorder, monkeypatch, by):
    if by == "torch":
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    else:
        monkeypatch.setenv("NVTX_INJECTION64_PATH", "profiler.so")
    failing = []
    chain = plain(uneven[0]).map_batch(lambda batch: batch if not failing else failing[0])
    next(iter(chain))
    assert recorder.seen == [(1, "streamaug.MapBatch"), (2, "streamaug.ShardReader")]
    assert not recorder.open
    chain = plain(uneven[0]).map_batch(lambda batch: batch.no_such)
    with pytest.raises(AttributeError):
        next(iter(chain))
    assert not recorder.open


def test_without_a_profiler_there_are_none(uneven, recorder):
    assert ranges.profiler_ranges() is None
    list(plain(uneven[0]))
    assert not recorder.seen


def test_the_real_package_takes_what_it_is_given(monkeypatch):
    monkeypatch.setenv("NVTX_INJECTION64_PATH", "")
    assert ranges.profiler_ranges() is None
    monkeypatch.setenv("NVTX_INJECTION64_PATH", "profiler.so")
    begin, end = ranges.profiler_ranges()
    begin("ShardReader")
    end()
