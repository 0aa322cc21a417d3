"""NVTX ranges: each stage's `next()` as a range in Nsight Systems, where a profiler may watch the program.

In: nothing. Out: functions that mark the begin and the end of a range, or None, at no cost. It never begins to use
CUDA.
"""

import os
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from streamaug.reader.metering import Ranges

#: Set by Nsight Systems and its like for the programs that they start.
_INJECTION = "NVTX_INJECTION64_PATH"


def profiler_ranges() -> Ranges | None:
    """Ranges by torch where this process uses CUDA, else by `nvtx` where a profiler has started it, else None."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return _named(torch.cuda.nvtx.range_push), torch.cuda.nvtx.range_pop
    if os.environ.get(_INJECTION) and find_spec("nvtx") is not None:
        nvtx: Any = import_module("nvtx")
        return _named(nvtx.push_range), nvtx.pop_range
    return None


def _named(push: Callable[[str], object]) -> Callable[[str], object]:
    def begin(stage: str) -> object:
        return push(f"streamaug.{stage}")

    return begin
