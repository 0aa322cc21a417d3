"""The common parts of these programs: one process or torchrun's many, and the common arguments.

`launched()` yields a `Job`: this process's rank and device, and the few operations by which ranks agree. Without
torchrun all of them are local and cost nothing.
"""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn


@dataclass(frozen=True)
class Job:
    """This process among its ranks.

    Attributes:
        rank: Its number, from 0.
        world_size: The number of processes.
        device: The device of its model.
        control: A gloo group for agreements on the CPU, so that they never wait for a GPU's queue; None if alone.
    """

    rank: int
    world_size: int
    device: torch.device
    control: dist.ProcessGroup | None

    @property
    def is_first(self) -> bool:
        """Whether this rank prints and saves for all."""
        return self.rank == 0

    @property
    def loader_device(self) -> str:
        """The device's name for `ShardReader.augment`."""
        return "gpu" if self.device.type == "cuda" else "cpu"

    def any(self, flag: bool) -> bool:
        """True on every rank if it is on one."""
        return bool(self.sum(torch.tensor(float(flag))))

    def sum(self, counts: torch.Tensor) -> torch.Tensor:
        """The sum over ranks of a float tensor on the CPU, the same on every rank."""
        if self.control is not None:
            dist.all_reduce(counts, group=self.control)
        return counts

    def same_buffers(self, model: nn.Module) -> None:
        """Give every rank the buffers of the first: batch-norm statistics drift apart in training."""
        if self.control is not None:
            for buffer in model.buffers():
                dist.broadcast(buffer, src=0)

    def gather(self, value: object) -> list[object]:
        """Every rank's value, by rank, on every rank."""
        values: list[object] = [value] * self.world_size
        if self.control is not None:
            dist.all_gather_object(values, value, group=self.control)
        return values


@contextmanager
def launched(device: str, *, deterministic: bool = False) -> Iterator[Job]:
    """Join the other ranks if torchrun started this process, and leave them at the end.

    Args:
        device: "auto" (a GPU if there is one), "cpu" or "cuda".
        deterministic: Whether to repeat results bit for bit, at some cost of speed; else cuDNN takes its fastest
            algorithms.
    """
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats its results with this only
        torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = not deterministic
    chosen = "cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"
    where = torch.device(chosen)
    if chosen == "cuda":
        where = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(where)
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield Job(0, 1, where, None)
        return
    dist.init_process_group("nccl" if chosen == "cuda" else "gloo")
    try:
        yield Job(dist.get_rank(), dist.get_world_size(), where, dist.new_group(backend="gloo"))
    finally:
        dist.destroy_process_group()


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments that all programs here have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny_resnet", help="timm's or torchvision's name, or module:function")
    parser.add_argument("--num-classes", type=int, default=1000)
    parser.add_argument("--size", type=int, default=224, help="pixels of the model's square input")
    parser.add_argument("--batch-size", type=int, default=64, help="images a step on each rank")
    parser.add_argument("--threads", type=int, help="DALI's CPU threads; default: usable cores / local ranks")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--deterministic", action="store_true", help="repeat results bit for bit, somewhat slower")
    return parser
