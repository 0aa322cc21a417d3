"""Which device a pass runs on, and how many threads it may use."""

import os
import warnings

import torch

from streamaug.errors import RecipeError


def resolve_device(name: str, *, warn: bool) -> int | None:
    """The CUDA device's index, None for the CPU.

    Args:
        name: "auto", "cpu", "gpu" or "cuda:N".
        warn: Whether to warn when "gpu" is not the device that LOCAL_RANK says.

    Raises:
        RecipeError: If the name is none of these, or there is no such device.
    """
    if name == "cpu":
        return None
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.cuda.current_device() if count else None
    number = name.removeprefix("cuda:")
    if name != "gpu" and not (name.startswith("cuda:") and number.isdecimal()):
        raise RecipeError(f'augment.device: must be "auto", "cpu", "gpu" or "cuda:N", got {name!r}. Write "auto".')
    index = int(number) if name != "gpu" else (torch.cuda.current_device() if count else 0)
    if index >= count:
        raise RecipeError(
            f'augment.device: needs a CUDA device that torch sees, got {name!r} and {count} devices. Write "cpu".'
        )
    local = os.environ.get("LOCAL_RANK", "")
    if warn and name == "gpu" and local.isdecimal() and int(local) != index:
        warnings.warn(
            f"augment.device: torch's current device is {index} but LOCAL_RANK is {local}. "
            "Call torch.cuda.set_device(LOCAL_RANK) first.",
            stacklevel=3,
        )
    return index


def usable_cores() -> int:
    """Cores that this process may use, shared among the processes of this host; at least 1."""
    shared = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, len(os.sched_getaffinity(0)) // (int(shared) if shared.isdecimal() and int(shared) else 1))


def default_threads() -> int:
    """DALI's threads where none are asked for: one more than cores, so that no core waits for another's last image."""
    return usable_cores() + 1
