"""Choosing few views: the best first, and none that does not help."""

import itertools

import pytest
import torch

from streamaug import tta


def planted(noises, samples=800, classes=5, seed=0):
    """Views whose logits are as noisy as asked; None: a view that points at wrong classes."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(classes, (samples,), generator=generator)
    right = torch.nn.functional.one_hot(targets, classes).float()
    views = []
    for noise in noises:
        pointed = right if noise is not None else 2 * right.roll(1, 1)
        views.append(2.5 * pointed + (noise or 1.0) * torch.randn(samples, classes, generator=generator))
    return torch.stack(views), targets


def nll(logits, targets, views):
    return tta.measure(tta.merge(logits[list(views)].double()), targets).nll


def test_views_are_chosen_by_what_they_add_and_harmful_ones_are_not():
    logits, targets = planted([3.0, 1.0, None, 1.1])
    chosen = tta.select_views(logits, targets)
    assert chosen.views[0] == 1
    assert 2 not in chosen.views
    for count, value in enumerate(chosen.nll, 1):
        assert value == pytest.approx(nll(logits, targets, chosen.views[:count]), abs=1e-9)
    assert list(chosen.nll) == sorted(chosen.nll, reverse=True)
    best = [nll(logits, targets, (*chosen.views[:1], view)) for view in (0, 2, 3)]
    assert chosen.nll[1] == pytest.approx(min(best))
    assert tta.select_views(logits, targets, max_views=2).views == chosen.views[:2]
    assert tta.select_views(logits, targets, max_views=1).views == (1,)


def test_the_first_pair_is_no_worse_than_all_views_here():
    logits, targets = planted([1.0, 1.0, None, 4.0, 4.0])
    chosen = tta.select_views(logits, targets, max_views=2)
    assert set(chosen.views) == {0, 1}
    pairs = [nll(logits, targets, pair) for pair in itertools.combinations(range(5), 2)]
    assert chosen.nll[-1] == pytest.approx(min(pairs))


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_classes_that_stand_by_themselves_choose_by_their_decisions(activation):
    logits, targets = planted([3.0, 1.0, None])
    answers = torch.nn.functional.one_hot(targets, 5)
    values = logits - 1 if activation else (logits - 1).sigmoid()
    chosen = tta.select_views(values, answers, activation=activation)
    assert chosen.views[0] == 1
    merged = tta.merge(values[[1]].double(), activation=activation)
    assert chosen.nll[0] == pytest.approx(tta.measure(merged, answers).nll, abs=1e-9)


def test_a_fit_of_few_views_gives_the_others_nothing():
    logits, targets = planted([3.0, 1.0, None, 1.2, 1.4], samples=300)
    fitted = tta.fit_tta_weights(logits, targets, max_views=2)
    assert fitted.report.selected == tta.select_views(logits, targets, max_views=2).views == (1, 3)
    taken = torch.zeros(5, dtype=torch.bool)
    taken[[1, 3]] = True
    assert (fitted.weights[~taken] == 0).all()
    assert (fitted.weights[taken] > 0.2).all()
    alone = tta.fit_tta_weights(logits[[1, 3]], targets)
    torch.testing.assert_close(fitted.weights[[1, 3]], alone.weights)
    assert fitted.temperature == alone.temperature
    assert tta.fit_tta_weights(logits, targets).report.selected == (0, 1, 2, 3, 4)


def test_no_view_at_all_is_refused():
    logits, targets = planted([1.0, 2.0])
    for choose in (tta.select_views, tta.fit_tta_weights):
        with pytest.raises(ValueError, match="max_views: must be at least 1, got 0"):
            choose(logits, targets, max_views=0)
    with pytest.raises(ValueError, match="activation: must be"):
        tta.select_views(logits, targets, activation="tanh")
