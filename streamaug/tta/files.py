"""Predictions as files: `.npz`, or JSON lines, a line for each sample, for other programs and other ranks.

In: predictions of a pass. Out: a file, written atomically; and its predictions, which `merge_predictions` puts together
in any order.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streamaug.batch import Origin, Prediction

_VERSION = 1
_ROWS = ("positions", "sample_ids", "is_padding", "is_substitute")


def write_predictions(predictions: Prediction | Iterable[Prediction], path: str | os.PathLike[str]) -> None:
    """Write predictions to a file, a file for each rank, say; `read_predictions` reads it.

    Args:
        predictions: The predictions of a `tta` stage, or the result of `merge_predictions`.
        path: Ends in ".npz" (arrays; `numpy.load` reads it) or ".jsonl" (a JSON object a line, written as batches
            come): key, sample_id, position, epoch, seed, target and probabilities of each sample.

    Raises:
        ValueError: If the name has another ending, or there are no predictions.
    """
    place = Path(path)
    writer = {".npz": _write_arrays, ".jsonl": _write_lines}.get(place.suffix)
    if writer is None:
        raise ValueError(f'path: must end in ".npz" or ".jsonl", got {place.name!r}. Write "predictions.npz".')
    parts = [predictions] if isinstance(predictions, Prediction) else predictions
    unfinished = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        writer(parts, unfinished)
        unfinished.replace(place)
    finally:
        unfinished.unlink(missing_ok=True)


def read_predictions(*paths: str | os.PathLike[str]) -> list[Prediction]:
    """The predictions in files that `write_predictions` wrote, one `Prediction` for each file, in any order.

    `merge_predictions(read_predictions("rank0.npz", "rank1.npz"), num_samples=50_000)` is the whole evaluation.

    Raises:
        ValueError: If a file is not of that form; names it.
    """
    return [_read(Path(path)) for path in paths]


def _read(path: Path) -> Prediction:
    try:
        return _read_arrays(path) if path.suffix == ".npz" else _read_lines(path)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: must be what write_predictions wrote, got {error}. Write it anew.") from error


def _write_arrays(predictions: Iterable[Prediction], path: Path) -> None:
    parts = _some(list(predictions))
    arrays: dict[str, Any] = {
        name: np.concatenate([np.asarray(getattr(part.origin, name)) for part in parts]) for name in _ROWS
    }
    arrays["keys"] = np.array([key for part in parts for key in part.origin.keys], dtype=np.str_)
    arrays["probabilities"] = torch.cat([part.probabilities.cpu() for part in parts]).numpy()
    if all(part.targets is not None for part in parts):
        arrays["targets"] = torch.cat([part.targets.cpu() for part in parts if part.targets is not None]).numpy()
    arrays |= {name: np.array(value) for name, value in {"version": _VERSION, **_facts(parts)}.items()}
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _read_arrays(path: Path) -> Prediction:
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    _check_version(arrays)
    columns: dict[str, Any] = {name: arrays[name] for name in _ROWS}
    columns |= {name: int(arrays[name]) for name in ("seed", "epoch", "step", "lanes")}
    origin = Origin(keys=tuple(arrays["keys"].tolist()), **columns)
    targets = torch.from_numpy(arrays["targets"]) if "targets" in arrays else None
    return Prediction(torch.from_numpy(arrays["probabilities"]), targets, origin)


def _write_lines(predictions: Iterable[Prediction], path: Path) -> None:
    written = 0
    with path.open("w") as file:
        for part in predictions:
            for line in _lines(part):
                file.write(json.dumps(line) + "\n")
                written += 1
    if not written:
        _some([])


def _lines(part: Prediction) -> Iterator[dict[str, Any]]:
    origin = part.origin
    probabilities = part.probabilities.cpu().tolist()
    targets = [None] * len(probabilities) if part.targets is None else part.targets.cpu().tolist()
    for row, values in enumerate(probabilities):
        yield {
            "version": _VERSION,
            "key": origin.keys[row],
            "sample_id": int(origin.sample_ids[row]),
            "position": int(origin.positions[row]),
            "epoch": origin.epoch,
            "seed": origin.seed,
            "step": origin.step,
            "lanes": origin.lanes,
            "is_padding": bool(origin.is_padding[row]),
            "is_substitute": bool(origin.is_substitute[row]),
            "target": targets[row],
            "probabilities": values,
        }


def _read_lines(path: Path) -> Prediction:
    with path.open() as file:
        rows = [json.loads(line) for line in file]
    for row in rows:
        _check_version(row)
    first = rows[0] if rows else {}
    epochs = {(row["seed"], row["epoch"], row["lanes"]) for row in rows}
    if len(epochs) != 1:
        raise ValueError(f"{len(epochs)} different (seed, epoch, lanes)")
    origin = Origin(
        seed=first["seed"],
        epoch=first["epoch"],
        step=min(row["step"] for row in rows),
        lanes=first["lanes"],
        positions=np.array([row["position"] for row in rows], np.int64),
        sample_ids=np.array([row["sample_id"] for row in rows], np.int64),
        keys=tuple(row["key"] for row in rows),
        is_padding=np.array([row["is_padding"] for row in rows], bool),
        is_substitute=np.array([row["is_substitute"] for row in rows], bool),
    )
    probabilities = torch.tensor([row["probabilities"] for row in rows], dtype=torch.float32)
    targets = None if first["target"] is None else torch.tensor([row["target"] for row in rows])
    return Prediction(probabilities, targets, origin)


def _check_version(facts: Mapping[str, Any]) -> None:
    version = int(facts["version"])
    if version != _VERSION:
        raise ValueError(f"version {version}, not {_VERSION}")


def _some(parts: list[Prediction]) -> list[Prediction]:
    if not parts:
        raise ValueError("predictions: there must be at least one, got none. Pass a tta stage, or a list.")
    return parts


def _facts(parts: list[Prediction]) -> dict[str, int]:
    """Seed, epoch, lanes and first step, which all parts must share."""
    found = {(part.origin.seed, part.origin.epoch, part.origin.lanes) for part in parts}
    if len(found) > 1:
        raise ValueError(
            f"predictions: must be of one epoch of one reader, got (seed, epoch, lanes) {sorted(found)}. "
            "Write a file for each epoch."
        )
    seed, epoch, lanes = found.pop()
    return {"seed": seed, "epoch": epoch, "lanes": lanes, "step": min(part.origin.step for part in parts)}
