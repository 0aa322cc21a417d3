"""The rank of a process and the number of ranks, settled when they are first needed and not before.

In: the user's arguments, torch.distributed, the environment. Out: (rank, world_size), the same from then on; a process
group that disagrees later is an error, never another share of the data.
"""

import os
import warnings
from collections.abc import Mapping
from typing import Any

from torch import distributed

from streamaug.arguments import as_whole
from streamaug.errors import StateError, StreamaugError

#: Variables by which launchers say how many processes they started. No rank is taken from them, since an interactive
#: shell may have them too.
LAUNCHERS = (
    "SLURM_NTASKS",
    "OMPI_COMM_WORLD_SIZE",  # Open MPI
    "MV2_COMM_WORLD_SIZE",  # MVAPICH
    "PMI_SIZE",  # MPICH, Intel MPI, Cray's PALS
    "PMIX_SIZE",
    "JSM_NAMESPACE_SIZE",  # LSF's jsrun
    "FLUX_JOB_SIZE",
    "HOROVOD_SIZE",
    "WORLD_SIZE",
)
#: Variables by which a process is told its number; above 0, there are others.
NUMBERS = ("LOCAL_RANK", "SLURM_PROCID", "PMIX_RANK", "PALS_RANKID")


class Ranks:
    """The rank of a reader.

    Args:
        rank: As given; None: to be looked for.
        world_size: As given; None: to be looked for.

    Raises:
        ValueError: If only one of them is given, or the rank is not below world_size.
    """

    def __init__(self, rank: int | None, world_size: int | None) -> None:
        if (rank is None) != (world_size is None):
            raise ValueError(
                f"ShardReader.rank: rank and world_size go together, got rank={rank}, world_size={world_size}. "
                "Give both or neither."
            )
        self.given = rank is not None
        self._settled = None if rank is None or world_size is None else _checked(rank, world_size)

    def __repr__(self) -> str:
        return "rank unsettled" if self._settled is None else "rank={} of {}".format(*self._settled)

    @property
    def settled(self) -> tuple[int, int] | None:
        """(rank, world_size), or None until they are first needed."""
        return self._settled

    def settle(self) -> tuple[int, int]:
        """(rank, world_size): as given, else torch.distributed's, else RANK and WORLD_SIZE, else 0 of 1.

        Raises:
            ValueError: If a variable is no number, or the rank is not below world_size.
        """
        if self._settled is None:
            found = _of_group() or _of_environment()
            if found is None:
                _warn_of_launchers()
            self._settled = _checked(*(found or (0, 1)))
        return self._settled

    def confirm(self) -> None:
        """Refuse a process group that was made after the ranks were settled and disagrees.

        Raises:
            StreamaugError: If its rank or size differs.
        """
        group = None if self.given else _of_group()
        if group is not None and self.settle() != group:
            rank, world_size = self.settle()
            raise StreamaugError(
                f"ShardReader.rank: must stay what it was when it was first needed, rank {rank} of {world_size}, got a "
                f"process group that says rank {group[0]} of {group[1]}. Initialise torch.distributed before len() and "
                "the first batch, or make the chain anew and load its state."
            )


def check_agreement(mine: Mapping[str, Any], group: "distributed.ProcessGroup | None") -> None:
    """Make sure that all ranks of a group have the same values, and a `rank` of their own. Collective.

    Raises:
        StateError: On every rank, where values differ or ranks are equal.
    """
    others: list[dict[str, Any]] = [{}] * distributed.get_world_size(group)
    distributed.all_gather_object(others, mine, group=group)
    for field in mine:
        values = [other[field] for other in others]
        if field == "rank":
            wrong, must = len(set(values)) < len(values), "must differ between ranks"
        else:
            wrong, must = any(value != values[0] for value in values), "must be the same on all ranks"
        if wrong:
            raise StateError(
                f"check_ranks.{field}: {must}, got {values}. Open the same shards with the same options, "
                "and let each rank have its own number."
            )


def _of_group() -> tuple[int, int] | None:
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return None


def _of_environment() -> tuple[int, int] | None:
    texts = {name: os.environ.get(name, "").strip() for name in ("RANK", "WORLD_SIZE")}
    if not all(texts.values()):
        return None
    for name, text in texts.items():
        if not text.isdecimal():
            raise ValueError(
                f"ShardReader.rank: the environment's {name} must be a whole number, got {text!r}. "
                "Set it as the launcher does, unset it, or give rank and world_size."
            )
    return int(texts["RANK"]), int(texts["WORLD_SIZE"])


def _checked(rank: object, world_size: object) -> tuple[int, int]:
    number, ranks = as_whole(rank), as_whole(world_size)
    if number is None or ranks is None or not 0 <= number < ranks:
        raise ValueError(
            f"ShardReader.rank: must lie in 0..world_size-1, got {rank!r} of {world_size!r}. Check the launcher."
        )
    return number, ranks


def _warn_of_launchers() -> None:
    told = [name for name in LAUNCHERS if _number(name) > 1] + [name for name in NUMBERS if _number(name) > 0]
    if told:
        several = ", ".join(f"{name}={_number(name)}" for name in told)
        warnings.warn(
            f"ShardReader.rank: the environment has {several}, but neither a process group nor RANK and "
            "WORLD_SIZE, so this process reads as rank 0 of 1, and several would all read the same data. Initialise "
            "torch.distributed before the first batch, or give rank and world_size: "
            "streamaug.integrations.ranks.slurm() and mpi() read them.",
            UserWarning,
            stacklevel=2,
        )


def _number(name: str) -> int:
    """The number that a variable holds; 0 where it holds none."""
    text = os.environ.get(name, "").strip()
    return int(text) if text.isdecimal() else 0
