"""Mixing in torch's own DataLoader: its workers, its seeds, its collation."""

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from streamaug import mix
from streamaug.batch import SparseTargets

IMAGES = torch.rand(24, 3, 6, 5, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(24) % 4


def batches(collate, *, seed=1, **options):
    torch.manual_seed(seed)
    return list(DataLoader(TensorDataset(IMAGES, LABELS), batch_size=8, collate_fn=collate, **options))


def test_a_loader_of_torchs_delivers_mixed_batches_that_its_seed_repeats():
    collate = mix.collate(num_classes=4, label_smoothing=0.1, mixup_alpha=1.0)
    first = batches(collate)
    changed = 0
    for number, (images, targets) in enumerate(first):
        plain = IMAGES[8 * number : 8 * number + 8]
        assert targets.dtype == torch.float32
        assert targets.shape == (8, 4)
        torch.testing.assert_close(targets.sum(1), torch.ones(8))
        changed += int((images != plain).flatten(1).any(1).sum())
    assert changed > 18
    for one, other in zip(first, batches(collate), strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])
    assert not torch.equal(first[0][0], batches(collate, seed=2)[0][0])
    assert torch.equal(IMAGES, torch.rand(24, 3, 6, 5, generator=torch.Generator().manual_seed(0)))


def test_pixels_and_sparse_targets_belong_together():
    torch.manual_seed(0)
    collate = mix.collate(num_classes=4, cutmix_alpha=0, targets="sparse", mixup_alpha=1.0)
    (images, targets) = collate([(IMAGES[i], int(LABELS[i])) for i in range(8)])
    assert isinstance(targets, SparseTargets)
    mates = (torch.arange(8) + 4) % 8
    assert torch.equal(targets.partner_targets, LABELS[:8][mates])
    lam = targets.lam.view(-1, 1, 1, 1)
    torch.testing.assert_close(images, lam * IMAGES[:8] + (1 - lam) * IMAGES[mates])


def test_nothing_is_mixed_where_both_kinds_are_off():
    for number, (images, targets) in enumerate(batches(mix.collate(num_classes=4, mixup_alpha=0, cutmix_alpha=0))):
        rows = slice(8 * number, 8 * number + 8)
        assert torch.equal(images, IMAGES[rows])
        assert torch.equal(targets, torch.eye(4)[LABELS[rows]])


def test_workers_mix_too_and_repeat():
    collate = mix.collate(num_classes=4, lam="element")
    first, second = (batches(collate, num_workers=1, multiprocessing_context="fork")[0] for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], IMAGES[:8])


def test_a_collate_function_of_ones_own_makes_the_batch():
    def doubled(samples):
        images = torch.stack([image for image, _ in samples]) * 2
        return images, torch.from_numpy(np.array([target for _, target in samples], np.float32))

    collate = mix.collate(num_classes=1, probability=0.0, collate_fn=doubled)
    images, targets = collate([(IMAGES[0], 1.0), (IMAGES[1], 0.0)])
    assert torch.equal(images, IMAGES[:2] * 2)
    assert targets.tolist() == [1.0, 0.0]


def test_what_is_no_pair_or_out_of_range_is_named():
    collate = pickle.loads(pickle.dumps(mix.collate(num_classes=4)))
    with pytest.raises(ValueError, match=r"mix.collate: samples must be \(image, target\), got dict"):
        collate([{"image": IMAGES[0], "label": 1}] * 2)
    with pytest.raises(ValueError, match=r"mix.collate: samples must be \(image, target\)"):
        collate([(IMAGES[0], 1, 2)] * 2)
    with pytest.raises(ValueError, match=r"mix.collate.mixup_alpha: must be finite"):
        mix.collate(num_classes=4, mixup_alpha=-1)
    for number in (0, True, 2.0):
        with pytest.raises(ValueError, match=r"mix.collate.num_classes: must be an integer of at least 1"):
            mix.collate(num_classes=number)
