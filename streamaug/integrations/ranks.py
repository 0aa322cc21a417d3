"""Ranks by launchers other than torch's; call them by name, since an interactive shell has their variables too.

rank, world_size = ranks.slurm()
reader = ShardReader(shards, batch_size=256, rank=rank, world_size=world_size)
"""

import os
from typing import TYPE_CHECKING

from streamaug.errors import StreamaugError

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

__all__ = ["mpi", "of_mesh", "slurm"]

_MPI = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),  # MVAPICH
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI, Cray's PALS
    ("JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE"),  # LSF's jsrun
    ("FLUX_TASK_RANK", "FLUX_JOB_SIZE"),  # Flux
)


def slurm() -> tuple[int, int]:
    """(rank, world_size) of a task that `srun` started, from SLURM_PROCID and SLURM_NTASKS.

    Raises:
        StreamaugError: If a variable is missing or no number.
    """
    return _of_variables("slurm", (("SLURM_PROCID", "SLURM_NTASKS"),))


def mpi() -> tuple[int, int]:
    """(rank, world_size) of a process that `mpirun`, `mpiexec`, `jsrun` or `flux run` started.

    The variables are those of Open MPI, MVAPICH, MPICH, Intel MPI, LSF and Flux.

    Raises:
        StreamaugError: If the variables are not set, or a value is not a number.
    """
    return _of_variables("mpi", _MPI)


def of_mesh(device_mesh: "DeviceMesh") -> tuple[int, int]:
    """(rank, world_size) along a device mesh of one axis, such as `mesh["dp"]`.

    The ranks along the other axes (tensor-parallel peers, say) then read the same batches.

    Args:
        device_mesh: A mesh of one axis: the data-parallel part of a larger one.

    Raises:
        ValueError: If the mesh has several axes.
    """
    if device_mesh.ndim != 1:
        raise ValueError(
            f"of_mesh.device_mesh: must have one axis, got {device_mesh.ndim} ({device_mesh.mesh_dim_names}). "
            'Pass its data-parallel part, such as mesh["dp"].'
        )
    return int(device_mesh.get_local_rank()), int(device_mesh.size())


def _of_variables(launcher: str, pairs: tuple[tuple[str, str], ...]) -> tuple[int, int]:
    for names in pairs:
        texts = [os.environ.get(name, "").strip() for name in names]
        if not all(texts):
            continue
        for name, text in zip(names, texts, strict=True):
            if not text.isdecimal():
                raise StreamaugError(
                    f"ranks.{launcher}: {name} must be a whole number, got {text!r}. Start with the launcher."
                )
        rank, world_size = (int(text) for text in texts)
        if rank >= world_size:
            raise StreamaugError(
                f"ranks.{launcher}: {names[0]} must be below {names[1]}, got {rank} of {world_size}. "
                "Start with the launcher."
            )
        return rank, world_size
    wanted = " or ".join(" and ".join(names) for names in pairs)
    raise StreamaugError(
        f"ranks.{launcher}: the environment must have {wanted}, got neither. Start the program with the launcher."
    )
