"""Picks the logits from a model's result: the tensor itself, a key, an index, or a function of the result.

In: the model's result. Out: a tensor. It does not read the logits.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch

#: How to pick the logits: None, the result is the tensor; a key or attribute; an index; or a function.
OutputPicker = str | int | Callable[[Any], torch.Tensor] | None


def check_output(output: OutputPicker) -> None:
    """Raise ValueError unless it is a key, an index, a function or None."""
    if isinstance(output, bool) or not (output is None or isinstance(output, str | int) or callable(output)):
        raise ValueError(
            f"output: must be a key, an index, a function or None, got {output!r}. "
            'Write output="logits", output=0, or output=lambda answer: answer.logits.'
        )


def pick_logits(answer: Any, output: OutputPicker) -> torch.Tensor:
    """The logits in a model's result.

    Raises:
        ValueError: If there is no such key or index, or it holds no tensor; names output.
    """
    if output is None:
        picked = answer
    elif isinstance(output, str | int):
        picked = _item(answer, output)
    else:
        picked = output(answer)
    if not isinstance(picked, torch.Tensor):
        where = "the model must return its logits as a tensor" if output is None else f"{output!r} must pick a tensor"
        # The parameter is wrong for any result.
        raise ValueError(f"output: {where}, got {_shown(picked)}. {_advice(answer)}")  # noqa: TRY004
    return picked


def _item(answer: Any, key: str | int) -> Any:
    if isinstance(answer, torch.Tensor):
        raise ValueError(  # noqa: TRY004
            f"output: must be None where the model returns a tensor, got {key!r}, which would pick of its samples. "
            "Leave output out."
        )
    try:
        if isinstance(key, str) and not isinstance(answer, Mapping) and hasattr(answer, key):
            return getattr(answer, key)  # a named tuple's or a dataclass's field
        return answer[key]
    except (KeyError, IndexError, TypeError, AttributeError):
        raise ValueError(
            f"output: {key!r} is not in what the model returned, {_shown(answer)}. {_advice(answer)}"
        ) from None


def _shown(answer: Any) -> str:
    if isinstance(answer, Mapping):
        return f"{type(answer).__name__} with the keys {', '.join(map(repr, answer))}"
    if isinstance(answer, tuple | list):
        return f"{type(answer).__name__} of {', '.join(type(value).__name__ for value in answer)}"
    return type(answer).__name__


def _advice(answer: Any) -> str:
    if isinstance(answer, Mapping):
        return f"Write output={next(iter(answer), 'logits')!r}, the key of the logits."
    if isinstance(answer, tuple | list):
        return "Write output=0, the index of the logits."
    return "Write output=function, a function of the model's result."
