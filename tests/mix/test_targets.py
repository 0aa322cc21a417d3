"""Soft and sparse targets, and the loss that takes both."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamaug import mix
from streamaug.batch import SparseTargets


@settings(deadline=None)
@given(st.data(), st.integers(1, 12), st.integers(1, 8), st.sampled_from((0.0, 0.1, 1.0)))
def test_soft_targets_are_the_formula_and_keep_their_mass(data, size, classes, smoothing):
    integers = st.integers(0, classes - 1)
    targets = np.array(data.draw(st.lists(integers, min_size=size, max_size=size)))
    partner = np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=size, max_size=size)))
    lam = np.array(data.draw(st.lists(st.floats(0, 1), min_size=size, max_size=size)))
    smooth = np.eye(classes)[targets] * (1 - smoothing) + smoothing / classes
    expected = lam[:, None] * smooth + (1 - lam[:, None]) * smooth[partner]
    soft = mix.mix_targets(targets, partner, lam, num_classes=classes, label_smoothing=smoothing)
    assert isinstance(soft, np.ndarray)
    assert soft.dtype == np.float32
    np.testing.assert_allclose(soft, expected, atol=1e-6)
    np.testing.assert_allclose(soft.sum(1), 1, atol=1e-5)
    tensor = mix.mix_targets(
        torch.from_numpy(targets), partner, torch.from_numpy(lam), num_classes=classes, label_smoothing=smoothing
    )
    np.testing.assert_array_equal(tensor.numpy(), soft)


def test_the_two_term_loss_is_the_loss_of_the_soft_targets():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 5, generator=generator)
    targets, partner = torch.tensor([0, 3, 3, 1, 4, 2]), torch.tensor([1, 0, 3, 2, 5, 4])
    lam = torch.rand(6, generator=generator)
    for smoothing in (0.0, 0.1):
        soft = mix.mix_targets(targets, partner, lam, num_classes=5, label_smoothing=smoothing)
        expected = -(soft * logits.log_softmax(1)).sum(1).mean()
        torch.testing.assert_close(mix.soft_target_cross_entropy(logits, soft), expected)
        sparse = SparseTargets(targets, targets[partner], lam)
        loss = mix.soft_target_cross_entropy(logits, sparse, label_smoothing=smoothing)
        torch.testing.assert_close(loss, expected)
        loss = mix.soft_target_cross_entropy(logits, tuple(sparse), label_smoothing=smoothing)
        torch.testing.assert_close(loss, expected)
    plain = mix.soft_target_cross_entropy(logits, targets)
    torch.testing.assert_close(plain, torch.nn.functional.cross_entropy(logits, targets))


def test_the_loss_of_half_precision_logits_is_computed_in_float32_and_has_a_gradient():
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).half().requires_grad_()
    soft = mix.mix_targets(torch.tensor([0, 1, 2, 0]), np.array([1, 0, 3, 2]), np.full(4, 0.5), num_classes=3)
    loss = mix.soft_target_cross_entropy(logits, soft)
    assert loss.dtype == torch.float32
    loss.backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad.float(), (logits.detach().float().softmax(1) - soft) / 4, atol=1e-3, rtol=0)


def test_soft_targets_of_the_wrong_width_are_named():
    with pytest.raises(ValueError, match=r"targets: must be \(B, K\) as logits"):
        mix.soft_target_cross_entropy(torch.zeros(2, 3), torch.zeros(2, 4))


@pytest.mark.parametrize(
    ("targets", "options", "message"),
    [
        (torch.tensor([0, 5]), {}, "targets: must lie in 0..4, got 5"),
        (torch.tensor([-1, 0]), {}, "targets: must lie in 0..4, got -1"),
        (torch.zeros(2, 5), {}, "targets: must be class numbers"),
        (torch.tensor([0.0, 1.0]), {}, "targets: must be class numbers"),
        (torch.tensor([0, 1]), {"num_classes": 0}, "num_classes: must be at least 1"),
        (torch.tensor([0, 1]), {"label_smoothing": 1.5}, "label_smoothing: must lie in 0..1"),
        (torch.tensor([0, 1, 2]), {}, "partner, lam: must have shape"),
    ],
)
def test_wrong_targets_are_named(targets, options, message):
    with pytest.raises(ValueError, match=message):
        mix.mix_targets(targets, np.array([1, 0]), np.array([0.5, 0.5]), **({"num_classes": 5} | options))
