"""Predictions as files: what was written is read again, and put together in any order."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from streamaug import tta
from streamaug.batch import Origin, Prediction


def prediction(positions, *, samples=10, kind="class", **changes):
    """Sample p mod samples at position p."""
    positions = np.asarray(positions, np.int64)
    ids = positions % samples
    flags = np.arange(len(ids)) % 3 == 1
    origin = Origin(
        3,
        2,
        int(positions[0]) // 4,
        4,
        positions,
        ids,
        tuple(f"schlüssel{i}" for i in ids),
        positions >= samples,
        flags,
    )
    generator = torch.Generator().manual_seed(1)
    table = torch.rand(samples, 3, generator=generator)
    targets = {
        "class": torch.from_numpy(ids),
        "multi-hot": (table < 0.5).float()[torch.from_numpy(ids)],
        "none": None,
    }[kind]
    return Prediction(table[torch.from_numpy(ids)], targets, dataclasses.replace(origin, **changes))


def same(one, other):
    assert torch.equal(one.probabilities, other.probabilities)
    assert one.probabilities.dtype == other.probabilities.dtype
    assert (one.targets is None) == (other.targets is None)
    if one.targets is not None:
        assert torch.equal(one.targets, other.targets)
        assert one.targets.dtype == other.targets.dtype
    for field in dataclasses.fields(Origin):
        np.testing.assert_array_equal(getattr(one.origin, field.name), getattr(other.origin, field.name))


@pytest.mark.parametrize("kind", ["class", "multi-hot", "none"])
@pytest.mark.parametrize("ending", ["npz", "jsonl"])
def test_files_of_ranks_are_put_together_in_any_order(tmp_path, ending, kind):
    ranks = [[prediction(range(first + rank, first + 6, 2), kind=kind) for first in (0, 6)] for rank in range(2)]
    whole = tta.merge_predictions([part for rank in ranks for part in rank], num_samples=10)
    paths = [tmp_path / f"rank{rank}.{ending}" for rank in range(2)]
    for path, parts in zip(paths, ranks, strict=True):
        tta.write_predictions(iter(parts), path)
    for order in (paths, paths[::-1]):
        same(tta.merge_predictions(tta.read_predictions(*map(str, order)), num_samples=10), whole)
    with pytest.raises(ValueError, match="position"):
        tta.merge_predictions(tta.read_predictions(paths[0]), num_samples=10)
    merged = tmp_path / f"whole.{ending}"
    tta.write_predictions(whole, merged)
    same(tta.read_predictions(merged)[0], whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["whole." + ending, *(p.name for p in paths)])


def test_lines_are_keyed_by_sample_and_other_programs_read_them(tmp_path):
    part = prediction([4, 5, 11])
    tta.write_predictions([part], tmp_path / "p.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [row["key"] for row in rows] == list(part.origin.keys)
    assert [row["target"] for row in rows] == part.targets.tolist()
    assert [row["is_padding"] for row in rows] == [False, False, True]
    np.testing.assert_array_equal(np.float32([row["probabilities"] for row in rows]), part.probabilities)
    tta.write_predictions([part], tmp_path / "p.npz")
    with np.load(tmp_path / "p.npz") as arrays:
        assert arrays["keys"].tolist() == list(part.origin.keys)
        np.testing.assert_array_equal(arrays["probabilities"], part.probabilities)


def broken():
    yield prediction([0, 1])
    raise RuntimeError("the model failed")


@pytest.mark.parametrize("ending", ["npz", "jsonl"])
def test_a_file_appears_whole_or_not_at_all(tmp_path, ending):
    path = tmp_path / f"p.{ending}"
    tta.write_predictions([prediction([0])], path)
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="the model failed"):
        tta.write_predictions(broken(), path)
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="predictions: there must be at least one"):
        tta.write_predictions([], tmp_path / f"none.{ending}")
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_what_cannot_be_written_or_read_is_named(tmp_path):
    with pytest.raises(ValueError, match=r'path: must end in ".npz" or ".jsonl", got \'p.csv\''):
        tta.write_predictions([prediction([0])], tmp_path / "p.csv")
    with pytest.raises(ValueError, match="must be of one epoch of one reader"):
        tta.write_predictions([prediction([0]), prediction([1], epoch=5)], tmp_path / "p.npz")
    (tmp_path / "bad.jsonl").write_text('{"key": "a"}\n')
    (tmp_path / "empty.jsonl").write_text("")
    np.savez(tmp_path / "bad.npz", x=np.zeros(3))
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("bad.jsonl", "empty.jsonl", "bad.npz", "text.npz"):
        with pytest.raises(ValueError, match=f"{name}: must be what write_predictions wrote"):
            tta.read_predictions(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        tta.read_predictions(tmp_path / "nowhere.npz")
