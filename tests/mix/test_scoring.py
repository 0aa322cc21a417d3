"""The loss and the accuracy under targets of any form."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamaug import mix
from streamaug.batch import SparseTargets


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


@settings(max_examples=40)
@given(st.integers(1, 9), st.integers(2, 12), st.sampled_from((0.0, 0.1)), st.integers(0, 999))
def test_the_soft_loss_and_the_two_term_loss_have_one_gradient(size, classes, smoothing, seed):
    rng = np.random.default_rng(seed)
    scores, lam = rng.normal(0, 3, (size, classes)), rng.beta(0.2, 0.2, size)
    own, partner = torch.from_numpy(rng.integers(0, classes, size)), rng.integers(0, size, size)
    soft = mix.mix_targets(own, partner, lam, num_classes=classes, label_smoothing=smoothing)
    two_terms = SparseTargets(own, own[torch.from_numpy(partner)], torch.from_numpy(lam).float())
    slopes = []
    for form, options in ((soft, {}), (two_terms, {"label_smoothing": smoothing})):
        logits = torch.tensor(scores, dtype=torch.float32, requires_grad=True)
        mix.soft_target_cross_entropy(logits, form, **options).backward()
        slopes.append(logits.grad)
    expected = (torch.tensor(scores).softmax(1) - soft.double()) / size
    for slope in slopes:
        torch.testing.assert_close(slope.double(), expected, atol=1e-6, rtol=0)


def test_accuracy_is_the_share_of_the_target_on_the_named_class():
    logits = torch.tensor([[3.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, 3.0, 2.0], [1.0, 0.0, 2.0]])
    own, other, lam = torch.tensor([0, 0, 0, 2]), torch.tensor([1, 2, 2, 2]), torch.tensor([0.9, 0.25, 0.5, 0.5])
    sparse = SparseTargets(own, other, lam)
    # Named are 0, 2, 1, 2: of them 0.9, 0.75, 0 and all of the targets.
    assert mix.accuracy(logits, sparse).item() == pytest.approx((0.9 + 0.75 + 0 + 1) / 4)
    assert mix.accuracy(logits, tuple(sparse)).item() == pytest.approx((0.9 + 0.75 + 0 + 1) / 4)
    assert mix.accuracy(logits, own).item() == pytest.approx(0.5)
    # Of the two first classes: 0 and 1; 2 and 1; 1 and 2; 2 and 0.
    assert mix.accuracy(logits, sparse, top=2).item() == pytest.approx((1 + 0.75 + 0.5 + 1) / 4)


@settings(max_examples=40)
@given(st.integers(1, 9), st.integers(2, 8), st.integers(1, 2), st.sampled_from((0.0, 0.1, 0.5)), st.integers(0, 999))
def test_accuracy_is_the_same_for_soft_and_sparse_targets_whatever_the_smoothing(size, classes, top, smoothing, seed):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(size, classes)))
    own, partner = torch.from_numpy(rng.integers(0, classes, size)), rng.integers(0, size, size)
    lam = rng.random(size)
    sparse = SparseTargets(own, own[torch.from_numpy(partner)], torch.from_numpy(lam).float())
    soft = mix.mix_targets(own, partner, lam, num_classes=classes, label_smoothing=smoothing)
    expected = mix.accuracy(logits, sparse, top=top)
    torch.testing.assert_close(
        mix.accuracy(logits, soft, top=top, label_smoothing=smoothing), expected, atol=1e-5, rtol=0
    )
    whole = mix.mix_targets(own, partner, np.ones(size), num_classes=classes)
    torch.testing.assert_close(mix.accuracy(logits, whole, top=top), mix.accuracy(logits, own, top=top))


@pytest.mark.parametrize(
    ("targets", "options", "message"),
    [
        (torch.zeros(2, 4), {}, r"targets: must be \(B, K\) as logits"),
        (torch.tensor([0.0, 1.0]), {}, "targets: must be .* got binary targets"),
        (torch.tensor([0, 1]), {"top": 4}, "top: must lie in 1..3"),
        (torch.tensor([0, 1]), {"top": 0}, "top: must lie in 1..3"),
        (torch.zeros(2, 3), {"label_smoothing": 1.0}, "label_smoothing: must lie in 0..1"),
    ],
)
def test_wrong_arguments_of_the_accuracy_are_named(targets, options, message):
    with pytest.raises(ValueError, match=message):
        mix.accuracy(torch.zeros(2, 3), targets, **options)


def test_binary_targets_have_a_loss_of_torchs():
    with pytest.raises(ValueError, match="binary_cross_entropy_with_logits"):
        mix.soft_target_cross_entropy(torch.zeros(2, 1), torch.zeros(2))
