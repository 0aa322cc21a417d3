"""The tta stage on real chains: predictions by position, whatever the batch size and the number of ranks."""

from itertools import islice

import numpy as np
import pytest
import torch

import streamaug as sa
from streamaug import recipes, tta

CLASSES = 6


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, CLASSES)).eval()


def views(url, *, batch_size=25, rank=0, world_size=1, kind="five_crop"):
    reader = sa.ShardReader(
        sa.ShardSet.open(url),
        batch_size=batch_size,
        rank=rank,
        world_size=world_size,
        lanes=16,
        shuffle=False,
        tail="pad",
    )
    return reader.augment(recipes.imagenet_tta(views=kind, size=16, resize=20), device="cpu", num_threads=1)


@pytest.mark.slow
def test_an_evaluation_does_not_depend_on_batch_size_or_ranks(uneven, model):
    url, listed = uneven
    whole = tta.merge_predictions(views(url).tta(model), num_samples=389)
    assert whole.origin.keys == tuple(key for key, _, _ in listed)
    assert whole.targets.tolist() == [label for _, label, _ in listed]
    for world_size, batch_size in ((2, 10), (3, 32)):
        parts = [
            prediction
            for rank in reversed(range(world_size))
            for prediction in views(url, batch_size=batch_size, rank=rank, world_size=world_size).tta(model)
        ]
        other = tta.merge_predictions(parts, num_samples=389)
        assert other.origin.keys == whole.origin.keys
        assert torch.equal(other.targets, whole.targets)
        torch.testing.assert_close(other.probabilities, whole.probabilities, atol=1e-6, rtol=1e-5)
        with pytest.raises(ValueError, match=r"no position may be missing|must be of 389 samples"):
            tta.merge_predictions(parts[:-1], num_samples=389)


@pytest.mark.parametrize("method", tta.METHODS)
def test_every_merge_runs_and_chunks_change_nothing(uneven, model, method):
    url, _ = uneven
    pairs = zip(views(url), views(url).tta(model, merge=method, chunk_size=7), strict=True)
    for raw, prediction in islice(pairs, 2):
        expected = tta.merge(tta.view_logits(model, raw.images, 5), method)
        torch.testing.assert_close(prediction.probabilities, expected, atol=1e-6, rtol=1e-5)
        np.testing.assert_array_equal(prediction.origin.positions, raw.origin.positions)


def test_weights_come_from_a_fit_a_tensor_or_a_list(uneven, model):
    url, _ = uneven
    batches = list(islice(views(url), 4))
    logits = torch.cat([tta.view_logits(model, batch.images, batch.views) for batch in batches], 1)
    fitted = tta.fit_tta_weights(logits, torch.cat([batch.targets for batch in batches]) % CLASSES)
    first = next(iter(views(url).tta(model, weights=fitted))).probabilities
    expected = tta.merge(logits[:, :25], weights=fitted.weights, temperature=fitted.temperature)
    torch.testing.assert_close(first, expected, atol=1e-5, rtol=1e-4)
    table = [[1.0], [2.0], [0.0], [0.0], [3.0]]
    for weights in (table, torch.tensor(table)):
        got = next(iter(views(url).tta(model, weights=weights))).probabilities
        torch.testing.assert_close(got, tta.merge(logits[:, :25], weights=torch.tensor(table)), atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match='weights: go with "mean" only'):
        views(url).tta(model, merge="max", weights=table)
    with pytest.raises(ValueError, match="weights: must be numbers, a row for each view, got 'equal'"):
        views(url).tta(model, weights="equal")


def test_output_finds_the_logits_and_files_of_ranks_make_the_whole(uneven, model, tmp_path):
    url, _ = uneven
    whole = tta.merge_predictions(views(url).tta(model), num_samples=389)
    paths = [tmp_path / "rank0.npz", tmp_path / "rank1.jsonl"]
    for rank, path in enumerate(paths):
        chain = views(url, batch_size=32, rank=rank, world_size=2)
        wrapped = chain.tta(lambda images: {"logits": model(images), "aux": None}, output="logits")
        tta.write_predictions(wrapped, path)
    merged = tta.merge_predictions(tta.read_predictions(*reversed(paths)), num_samples=389)
    assert merged.origin.keys == whole.origin.keys
    assert torch.equal(merged.targets, whole.targets)
    torch.testing.assert_close(merged.probabilities, whole.probabilities, atol=1e-6, rtol=1e-5)
    with pytest.raises(ValueError, match=r"output: 'scores' is not in what the model returned, dict") as error:
        next(iter(views(url).tta(lambda images: {"logits": model(images)}, output="scores")))
    assert "TestTimeAugment failed at epoch 0, step 0" in "".join(error.value.__notes__)
    with pytest.raises(ValueError, match="output: must be a key"):
        views(url).tta(model, output=1.5)


def test_collected_logits_are_fitted_on_one_half_and_reported_on_the_other(uneven, model):
    url, _ = uneven
    logits, targets = tta.collect_logits(model, views(url))
    assert logits.shape == (5, 389, CLASSES)
    assert torch.equal(targets, tta.merge_predictions(views(url).tta(model)).targets)
    targets = targets % CLASSES
    half, rest = (logits[:, ::2], targets[::2]), (logits[:, 1::2], targets[1::2])
    fitted = tta.fit_tta_weights(*half, report_on=rest)
    merged = tta.merge(rest[0].double(), weights=fitted.weights, temperature=fitted.temperature)
    assert tta.measure(merged, rest[1]).nll == pytest.approx(fitted.report.fitted.nll)


def test_batch_norm_in_train_mode_is_warned_about_and_left_so(uneven):
    url, _ = uneven
    model = torch.nn.Sequential(torch.nn.BatchNorm2d(3), torch.nn.Flatten(), torch.nn.Linear(768, CLASSES)).train()
    with pytest.warns(UserWarning, match="TestTimeAugment.model: batch-norm must be in eval mode"):
        next(iter(views(url).tta(model)))
    assert all(layer.training for layer in model.modules())


def test_a_mixed_chain_is_refused(uneven, model):
    url, _ = uneven
    with pytest.raises(ValueError, match="TestTimeAugment: needs images that were not mixed"):
        next(iter(views(url, batch_size=32, kind="identity").mixup(num_classes=1000).tta(model)))
