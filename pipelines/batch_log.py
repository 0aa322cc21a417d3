"""A record of the batches of a training loop, to show that two runs had the same batches.

A JSON line for each batch has epoch, step, and for each row its position in the epoch with digests of its pixels and of
its target. Each rank appends to a file of its own, so any number of ranks, kills and resumes can be compared by
position.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import TextIO

import torch

from streamaug import Batch

#: Bytes that are read at once.
CHUNK = 1 << 16
Row = tuple[str, str]  # digests of pixels and target


def digest(tensor: torch.Tensor) -> str:
    """16 hexadecimal digits over a tensor's bytes."""
    values = tensor.detach().cpu().contiguous().flatten()
    return hashlib.blake2b(values.view(torch.uint8).numpy().data, digest_size=8).hexdigest()


def weights_digest(model: torch.nn.Module) -> str:
    """16 hexadecimal digits over a model's parameters and buffers."""
    digests = "".join(digest(values) for values in model.state_dict().values())
    return hashlib.blake2b(digests.encode(), digest_size=8).hexdigest()


def appending(path: Path) -> TextIO:
    """Open a file to append whole lines; removes a line that a kill cut off, whose batch comes again."""
    if path.exists():
        with path.open("rb") as file:
            size = end = file.seek(0, os.SEEK_END)
            newline = -1
            while newline < 0 < end:
                start = max(0, end - CHUNK)
                file.seek(start)
                newline = file.read(end - start).rfind(b"\n")
                end = start
        if end + newline + 1 != size:
            os.truncate(path, end + newline + 1)
    return path.open("a", buffering=1)


def whole_lines(path: Path) -> list[str]:
    """The complete lines of a file."""
    return path.read_text().split("\n")[:-1]


class BatchLog:
    """Appends to `<folder>/rank<r>.jsonl`; without a folder it does nothing."""

    def __init__(self, folder: Path | None, rank: int) -> None:
        self._file = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = appending(folder / f"rank{rank}.jsonl")

    def write(self, batch: Batch) -> None:
        """Record a batch, as the model gets it."""
        if self._file is None or not isinstance(batch.targets, torch.Tensor):
            return
        origin = batch.origin
        images = [digest(image) for image in batch.images]
        targets = [digest(target) for target in batch.targets.unsqueeze(-1)]
        rows = list(zip(origin.positions.tolist(), images, targets, strict=True))
        self._file.write(json.dumps({"epoch": origin.epoch, "step": origin.step, "rows": rows}) + "\n")


def read_log(folder: Path) -> dict[tuple[int, int], dict[int, Row]]:
    """The rows of every global batch over all ranks: {(epoch, step): {position: digests}}.

    Raises:
        ValueError: If a position was delivered twice with different rows.
    """
    batches: dict[tuple[int, int], dict[int, Row]] = {}
    for path in sorted(folder.glob("rank*.jsonl")):
        for line in whole_lines(path):
            record = json.loads(line)
            step = (record["epoch"], record["step"])
            for position, image, target in record["rows"]:
                known = batches.setdefault(step, {}).setdefault(position, (image, target))
                if known != (image, target):
                    raise ValueError(f"{path}: position {position} of epoch, step {step} came twice, not alike.")
    return batches
