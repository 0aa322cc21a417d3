"""The device of a pass, and the number of its threads."""

import os
import re
import warnings

import torch

from streamaug.errors import RecipeError

#: Variables by which launchers say how many processes they started on this host; SLURM's may be "4(x2),3".
_LOCAL_SIZES = ("LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "MV2_COMM_WORLD_LOCAL_SIZE")
_SLURM_SIZES = ("SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE", "SLURM_NTASKS_PER_NODE")


def device_name(device: str | int | torch.device | None) -> str:
    """The device as a string, from any form that torch takes.

    Args:
        device: A name, a GPU's number, a torch.device, or None for "auto".

    Raises:
        RecipeError: If it is not one of these names.
    """
    if device is None:
        return "auto"
    if isinstance(device, str):
        return "gpu" if device == "cuda" else device
    if isinstance(device, int) and not isinstance(device, bool) and device >= 0:
        return f"cuda:{device}"
    if isinstance(device, torch.device) and device.type in ("cpu", "cuda"):
        if device.type == "cpu":
            return "cpu"
        return "gpu" if device.index is None else f"cuda:{device.index}"
    raise RecipeError(
        f'augment.device: must be "auto", "cpu", "gpu", "cuda:N", a GPU\'s number or a torch.device of these, got '
        f'{device!r}. Write "auto".'
    )


def resolve_device(name: str, *, warn: bool) -> int | None:
    """The CUDA device's index, None for the CPU.

    "auto" is the GPU of LOCAL_RANK, where torch sees several GPUs and the program has not chosen one (torch's current
    device is 0); else torch's current device, as "gpu" always is.

    Args:
        name: "auto", "cpu", "gpu" or "cuda:N".
        warn: Whether to warn when "auto" or "gpu" is not the device of LOCAL_RANK.

    Raises:
        RecipeError: If the name is not one of these, or there is no such device.
    """
    if name == "cpu":
        return None
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return _of_this_rank(name, count, warn=warn) if count else None
    number = name.removeprefix("cuda:")
    if name != "gpu" and not (name.startswith("cuda:") and number.isdecimal()):
        raise RecipeError(f'augment.device: must be "auto", "cpu", "gpu" or "cuda:N", got {name!r}. Write "auto".')
    if name == "gpu" and count:
        return _of_this_rank(name, count, warn=warn)
    index = int(number) if name != "gpu" else 0
    if index >= count:
        raise RecipeError(
            f'augment.device: needs a CUDA device that torch sees, got {name!r} and {count} devices. Write "cpu".'
        )
    return index


def _of_this_rank(name: str, count: int, *, warn: bool) -> int:
    """The index of this rank's device, of `count` that torch sees; a rank that sees one GPU has no choice."""
    current, local = torch.cuda.current_device(), os.environ.get("LOCAL_RANK", "")
    if count == 1 or not local.isdecimal() or int(local) == current:
        return current
    if name == "auto" and current == 0 and int(local) < count:
        return int(local)
    if warn:
        warnings.warn(
            f"augment.device: {name!r} takes torch's current device, {current}, but LOCAL_RANK is {local} of {count} "
            "GPUs that torch sees, so ranks may share one. Call torch.cuda.set_device(LOCAL_RANK) first, or name the "
            "device.",
            UserWarning,
            stacklevel=4,
        )
    return current


def local_ranks(world_size: int) -> int:
    """The number of ranks that share the cores of this host; at least 1.

    It comes from the launcher's variables. Where several ranks were started without them, all count as this host's, and
    a warning says so.

    Args:
        world_size: The ranks of the whole job.
    """
    for name in _LOCAL_SIZES:
        value = os.environ.get(name, "")
        if value.isdecimal() and int(value) > 0:
            return int(value)
    if world_size <= 1:
        return 1
    for name in _SLURM_SIZES:
        counts = [int(count) for count in re.findall(r"(\d+)(?:\(x\d+\))?", os.environ.get(name, ""))]
        if counts:
            return max(counts)
    warnings.warn(
        f"augment.num_threads: LOCAL_WORLD_SIZE must say how many of the {world_size} ranks share this host's cores, "
        "got none, so all are taken to. Set LOCAL_WORLD_SIZE, or give augment(num_threads=…).",
        stacklevel=3,
    )
    return world_size


def default_threads(world_size: int) -> int:
    """DALI's threads by default: a rank's share of the cores that this process may use, and one more.

    With one more than cores, no core waits for another's last image.
    """
    return max(1, len(os.sched_getaffinity(0)) // local_ranks(world_size)) + 1
