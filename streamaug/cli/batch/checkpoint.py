"""Reads the state of a chain from a checkpoint.

In: a file that `torch.save` or `json.dump` wrote, and the key of the state in it. Out: the state. It runs no code from
the file.
"""

import json
import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from streamaug.errors import StateError

#: The fields by which a chain's state is recognised.
_FIELDS = {"version", "fingerprint", "seed", "epoch", "position", "order"}
#: The class in torch's error for a file that holds more than tensors and plain values.
_FOREIGN = re.compile(r"Unsupported (?:global: GLOBAL|class) ([\w.]+)")


def read_state(given: str) -> dict[str, Any]:
    """The state that `FILE` or `FILE:KEY` names; KEY may go deeper by dots. Without KEY, the only state in the file.

    Raises:
        StateError: If the file cannot be read, holds no state there, or several different states.
    """
    path, key = _split(given)
    found = dict(_states(_content(path)))
    if key is not None:
        if key not in found:
            raise StateError(
                f"--state: {key!r} must be a chain's state in {path}, got {_listed(found)}. Name one of these."
            )
        return found[key]
    if not found:
        raise StateError(f"--state: {path} must hold what a chain's state_dict() gave, got none. Name the checkpoint.")
    states = list(found.values())
    if any(state != states[0] for state in states):
        raise StateError(f"--state: {path} holds the states {_listed(found)}. Choose one: --state {path}:{min(found)}.")
    return states[0]


def _split(given: str) -> tuple[Path, str | None]:
    """The file and the key; a colon in the path of an existing file is part of the path."""
    if Path(given).is_file() or ":" not in given:
        return Path(given), None
    file, _, key = given.rpartition(":")
    return Path(file), key


def _content(path: Path) -> Any:
    try:
        if path.suffix == ".json":
            return json.loads(path.read_text(encoding="utf-8"))
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise StateError(f"--state: {path} must be readable, got: {error.strerror}. Check the path.") from error
    except Exception as error:  # torch raises anything on a file that it did not write
        raise StateError(
            f"--state: {path} must be a file that torch.load(weights_only=True) reads, or JSON, got {_reason(error)}. "
            "Save chain.state_dict() in a file of its own: torch.save(chain.state_dict(), 'data.pt')."
        ) from error


def _reason(error: Exception) -> str:
    """Why a file is no checkpoint, without torch's advice to load it unsafely."""
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return f"no JSON: {error}"
    if isinstance(error, pickle.UnpicklingError) and (match := _FOREIGN.search(str(error))):
        return f"an object of {match[1]}"
    return "another file, or a part of one"


def _states(content: Any, key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """(key, state) of every chain's state, at any depth; a file that is a state itself has the key ""."""
    if isinstance(content, Mapping):
        if content.keys() >= _FIELDS:
            yield key, dict(content)
            return
        for name, value in content.items():
            yield from _states(value, f"{key}.{name}" if key else str(name))
    elif isinstance(content, Sequence) and not isinstance(content, str | bytes):
        for number, value in enumerate(content):
            yield from _states(value, f"{key}.{number}" if key else str(number))


def _listed(found: Mapping[str, Any]) -> str:
    return ", ".join(repr(key) for key in sorted(found)) or "none"
