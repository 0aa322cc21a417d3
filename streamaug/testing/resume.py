"""`assert_resumes_exactly`: a chain, stopped and restored after every batch, delivers what an unbroken run does.

In: a function that makes a chain. Out: nothing, or an `AssertionError` that names the epoch, the step and the first
value that differs.
"""

import copy
import dataclasses
import json
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import numpy as np
import torch

from streamaug.arguments import whole
from streamaug.errors import StreamaugError
from streamaug.stages.base import Stage


def assert_resumes_exactly(make_chain: Callable[[], Stage], *, epochs: int = 2, every: int = 1) -> None:
    """Show that a chain goes on exactly, bit for bit, from every state it can be saved in.

    The chain runs unbroken for some epochs. Then it is made anew and stopped after 0, 1, 2, … batches of the first
    epoch. Its state, sent through JSON, is loaded into another chain, whose batches must be the remaining ones. A copy
    of the chain and `seek` must lead to the same batches.

    Args:
        make_chain: Makes the same whole chain at each call, from the reader on.
        epochs: Epochs of the unbroken run, at least 2, since batches behind an epoch's end are compared too.
        every: Stop after every `every` batches, at least 1: 1 tests all states, more is quicker.

    Raises:
        AssertionError: If batches differ; names epoch, step and value.
        ValueError: If an argument is out of range.
    """
    for name, value, least in (("epochs", epochs, 2), ("every", every, 1)):
        whole(f"assert_resumes_exactly.{name}", value, f"{least} is the least", least=least)
    with make_chain() as chain:
        length = len(chain)
        unbroken = [_kept(batch) for _ in range(epochs) for batch in chain]
    if len(unbroken) != epochs * length:
        raise AssertionError(
            f"the chain must deliver len(chain) = {length} batches an epoch, got {len(unbroken)} in {epochs} epochs"
        )
    with make_chain() as restored, make_chain() as sought:
        for count in sorted({*range(0, length + 1, every), length}):
            with make_chain() as stopped:
                for number, batch in enumerate(islice(stopped, count)):
                    _compare(batch, unbroken[number], length, number, "a second run")
                state = json.loads(json.dumps(stopped.state_dict()))
                copied = copy.deepcopy(stopped)
            rest = unbroken[count : count + length]
            restored.load_state_dict(state)
            _compare_all(restored, rest, length, count, f"a run restored after {count} batches")
            with copied:
                _compare_all(copied, rest[:1], length, count, f"a copy made after {count} batches")
            sought.seek(*divmod(count, length))
            _compare_all(sought, rest[:1], length, count, f"a run that sought batch {count}")


def differences(first: Any, second: Any) -> str | None:
    """The first value in which two batches differ, bit for bit, as "images: 3 of 4096 values differ"; None: no value.

    Args:
        first: A batch of any stage: dataclasses, tuples, mappings, tensors, arrays, bytes and numbers are compared.
        second: Another.
    """
    return _difference(first, second, "")


def _compare_all(chain: Stage, expected: list[Any], length: int, first: int, what: str) -> None:
    """The chain's next batches, one for each expected, across the end of an epoch."""
    number = 0
    while number < len(expected):
        before = number
        for batch in islice(chain, len(expected) - number):
            _compare(batch, expected[number], length, first + number, what)
            number += 1
        if number == before:
            raise AssertionError(f"{what}: must go on with {len(expected) - number} batches, got an empty pass")


def _compare(batch: Any, expected: Any, length: int, number: int, what: str) -> None:
    difference = differences(batch, expected)
    if difference is not None:
        epoch, step = divmod(number, length)
        raise AssertionError(f"{what}: epoch {epoch}, step {step} must be as in an unbroken run, but {difference}")


def _kept(batch: Any) -> Any:
    """A copy that no later batch can change."""
    try:
        return copy.deepcopy(batch)
    except TypeError as error:
        raise StreamaugError(
            f"assert_resumes_exactly: batches must be copyable, got {type(batch).__name__} ({error}). "
            "Deliver tensors, arrays, bytes and numbers."
        ) from error


def _difference(first: Any, second: Any, name: str) -> str | None:
    where = name or "the batch"
    if isinstance(first, bytes | bytearray | memoryview) and isinstance(second, bytes | bytearray | memoryview):
        return None if bytes(first) == bytes(second) else f"{where}: bytes differ"
    if type(first) is not type(second):
        return f"{where}: {type(first).__name__} is not {type(second).__name__}"
    if isinstance(first, torch.Tensor):
        return _array_difference(_bits(first), _bits(second), where)
    if isinstance(first, np.ndarray):
        return _array_difference(first, second, where)
    if dataclasses.is_dataclass(first):
        pairs = {field.name: (getattr(first, field.name), getattr(second, field.name)) for field in _fields(first)}
    elif isinstance(first, Mapping):
        if first.keys() != second.keys():
            return f"{where}: has the keys {list(first)}, not {list(second)}"
        pairs = {str(key): (first[key], second[key]) for key in first}
    elif isinstance(first, list | tuple):
        if len(first) != len(second):
            return f"{where}: has {len(first)} values, not {len(second)}"
        pairs = {str(index): pair for index, pair in enumerate(zip(first, second, strict=True))}
    else:
        return None if first == second else f"{where}: {first!r} is not {second!r}"
    found = (_difference(*pair, f"{name}.{key}" if name else key) for key, pair in pairs.items())
    return next((difference for difference in found if difference is not None), None)


def _fields(value: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(value)


def _bits(tensor: torch.Tensor) -> np.ndarray:
    """The tensor's bytes as an array of its shape, whatever its type."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.int16)
    return np.asarray(tensor.numpy())


def _array_difference(first: np.ndarray, second: np.ndarray, where: str) -> str | None:
    if first.shape != second.shape or first.dtype != second.dtype:
        return f"{where}: is {first.dtype} {first.shape}, not {second.dtype} {second.shape}"
    different = first != second
    if first.dtype.kind == "f":
        different &= ~(np.isnan(first) & np.isnan(second))
    count = int(np.count_nonzero(different))
    return f"{where}: {count} of {first.size} values differ" if count else None
