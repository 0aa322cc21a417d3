"""Running a model over views: on its device, in its mode, in chunks, with errors that name what does not fit."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from streamaug import tta
from streamaug.batch import Batch, Origin
from streamaug.mix.mixer import Mixer
from streamaug.mix.settings import MixSettings
from streamaug.tta.views import Predictor

SIZE, CLASSES = 6, 5


def batch(views=4, **changes):
    positions, flags = np.arange(SIZE), np.zeros(SIZE, bool)
    origin = Origin(0, 0, 0, 2, positions, positions, tuple("abcdef"), flags, flags)
    images = torch.randn(views * SIZE, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return dataclasses.replace(Batch(images, torch.arange(SIZE) % CLASSES, origin, views=views), **changes)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(48, CLASSES)).eval()


@pytest.mark.parametrize("chunk_size", [None, 1, 5, 6, 7, 100])
@pytest.mark.parametrize("views", [1, 2, 4])
def test_a_prediction_is_the_merge_of_the_views_for_any_chunk_size(model, views, chunk_size):
    given = batch(views)
    prediction = Predictor(model, chunk_size=chunk_size).predict(given)
    with torch.no_grad():
        expected = model(given.images).view(views, SIZE, CLASSES).softmax(-1).mean(0)
    torch.testing.assert_close(prediction.probabilities, expected, atol=1e-6, rtol=1e-5)
    assert prediction.origin is given.origin
    assert torch.equal(prediction.targets, given.targets)


def test_chunks_are_no_larger_than_asked(model):
    seen = []

    def spy(images):
        seen.append((len(images), torch.is_inference_mode_enabled()))
        return model(images)

    Predictor(spy).predict(batch())
    assert seen == [(SIZE, True)] * 4
    seen.clear()
    Predictor(spy, chunk_size=10).predict(batch())
    assert seen == [(10, True), (10, True), (4, True)]


def test_the_result_is_an_ordinary_tensor_and_inference_mode_does_not_leak(model):
    for prediction in Predictor(model).predict_all(iter([batch()])):
        assert not torch.is_inference_mode_enabled()
        assert not prediction.probabilities.is_inference()
        prediction.probabilities.add_(0).clone().requires_grad_().sum().backward()


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_of_the_model_stays_and_dropout_is_the_users(training):
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(48, CLASSES)).train(training)
    list(Predictor(model).predict_all(iter([batch()])))
    assert all(layer.training == training for layer in model.modules())


def test_batch_norm_in_train_mode_is_warned_about():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, CLASSES))
    with pytest.warns(
        UserWarning, match=r"batch-norm must be in eval mode .* got 1 layers in train mode, the first '1'"
    ):
        list(Predictor(model.train()).predict_all(iter([batch(), batch()])))
    assert model.training
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(Predictor(model.eval()).predict_all(iter([batch()])))


def test_batch_norm_without_statistics_of_its_own_is_warned_about():
    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten(), nn.Linear(16, CLASSES)
    with pytest.warns(UserWarning, match=r"batch-norm must have statistics .* got 1 layers .*, the first '1'"):
        list(Predictor(nn.Sequential(*layers).eval()).predict_all(iter([batch()])))


def test_probabilities_in_place_of_logits_are_warned_about(model):
    def softmaxed(images):
        return model(images).softmax(-1)

    with pytest.warns(UserWarning, match="must return logits, got rows .* add up to 1") as caught:
        list(Predictor(softmaxed).predict_all(iter([batch(), batch()])))
    assert len(caught) == 1

    def certain(images):
        return torch.eye(CLASSES)[torch.arange(len(images)) % CLASSES]

    for quiet, activation in ((softmaxed, None), (certain, "softmax"), (model, "softmax")):  # warnings are errors here
        list(Predictor(quiet, activation=activation).predict_all(iter([batch()])))


def test_a_model_of_another_dtype_than_the_images_is_told_what_to_do(model):
    with pytest.raises(RuntimeError) as caught:
        Predictor(model.to(torch.bfloat16)).predict(batch())
    assert "The images are torch.float32, the model's parameters torch.bfloat16" in caught.value.__notes__[0]
    with pytest.raises(RuntimeError, match="its own") as caught:
        Predictor(failing).predict(batch())
    assert not hasattr(caught.value, "__notes__")


def failing(images):
    raise RuntimeError("its own")


def test_weights_are_used_with_the_activation_of_their_fit(model):
    logits = tta.view_logits(model, batch().images, 4)
    fitted = tta.fit_tta_weights(logits, batch().targets, activation="sigmoid")
    with pytest.raises(
        ValueError, match="activation: must be that of the fit of the weights, 'sigmoid', got 'softmax'"
    ):
        Predictor(model, weights=fitted)
    prediction = Predictor(model, weights=fitted, activation="sigmoid").predict(batch())
    expected = tta.merge(logits, weights=fitted.weights, temperature=fitted.temperature, activation="sigmoid")
    torch.testing.assert_close(prediction.probabilities, expected)


def test_collected_logits_are_those_of_the_views_by_position_without_padding(model):
    first, second = batch(), batch()
    flags = np.arange(SIZE) >= 4
    second = dataclasses.replace(
        second, origin=dataclasses.replace(second.origin, positions=np.arange(SIZE) + SIZE, is_padding=flags)
    )
    logits, targets = tta.collect_logits(model, [second, first])
    expected = tta.view_logits(model, first.images, 4)
    assert torch.equal(logits, torch.cat([expected, expected[:, :4]], 1))
    assert torch.equal(targets, torch.cat([first.targets, first.targets[:4]]))
    named, _ = tta.collect_logits(lambda images: {"logits": model(images)}, [first], chunk_size=5, output="logits")
    torch.testing.assert_close(named, expected)
    assert not logits.is_inference()


def test_logits_that_cannot_be_collected_are_named(model):
    with pytest.raises(ValueError, match=r"collect_logits.batches: there must be at least one"):
        tta.collect_logits(model, [])
    with pytest.raises(ValueError, match=r"collect_logits.batches: must have targets"):
        tta.collect_logits(model, [batch(targets=None)])
    with pytest.raises(ValueError, match="got NaN for 6 samples"):
        tta.collect_logits(lambda images: torch.full((len(images), 3), torch.nan), [batch()])


def test_the_images_go_to_the_device_of_the_model():
    class OnMeta(nn.Linear):
        def forward(self, images):
            devices.append(images.device.type)
            return torch.zeros(len(images), CLASSES)

    devices = []
    Predictor(OnMeta(1, 1, device="meta"), chunk_size=8).predict(batch())
    assert devices == ["meta"] * 3


def test_weights_of_a_fit_bring_their_temperature(model):
    logits = tta.view_logits(model, batch().images, 4)
    assert logits.shape == (4, SIZE, CLASSES)
    fitted = tta.fit_tta_weights(logits, batch().targets)
    prediction = Predictor(model, weights=fitted).predict(batch())
    expected = tta.merge(logits, weights=fitted.weights, temperature=fitted.temperature)
    torch.testing.assert_close(prediction.probabilities, expected)


def test_a_batch_without_targets_is_predicted(model):
    assert Predictor(model).predict(batch(targets=None)).targets is None


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            lambda x: {"logits": x},
            r"output: the model must return its logits as a tensor, got dict with the keys 'logits'",
        ),
        (lambda x: x, r"model: must return logits \(6, K\) of one class or more, got \(6, 3, 4, 4\)"),
        (lambda x: x.flatten(1)[:3], r"model: must return logits \(6, K\) of one class or more, got \(3, 48\)"),
    ],
)
def test_a_model_that_returns_no_logits_is_named(output, message):
    with pytest.raises(ValueError, match=message):
        Predictor(output).predict(batch())


def test_a_missing_view_is_an_error(model):
    with pytest.raises(ValueError, match="views: every image needs all of its 4 views, got 23 images"):
        Predictor(model).predict(batch(images=batch().images[:-1]))


def test_a_mixed_batch_is_refused(model):
    given = Mixer(MixSettings(stage="Mixup", num_classes=CLASSES)).mix(batch(views=1))
    with pytest.raises(ValueError, match="needs images that were not mixed"):
        Predictor(model).predict(given)
    with pytest.raises(TypeError, match="needs batches of decoded images, got int"):
        Predictor(model).predict(3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "sum"}, "merge: must be one of"),
        ({"method": "median", "weights": torch.ones(4, 1)}, 'weights: go with "mean" only'),
        ({"weights": -torch.ones(4, 1)}, "weights: must be finite and not negative"),
        ({"chunk_size": 0}, "chunk_size: must be at least 1"),
    ],
)
def test_wrong_settings_are_errors_at_construction(model, options, message):
    with pytest.raises(ValueError, match=message):
        Predictor(model, **options)


def test_weights_for_another_number_of_views_are_named(model):
    with pytest.raises(ValueError, match=r"weights: must have shape \(4, 1\) or \(4, 5\), got \(3, 1\)"):
        Predictor(model, weights=torch.ones(3, 1)).predict(batch())


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_a_model_with_one_logit_may_leave_out_the_dimension_of_classes(model, activation, flat):
    def one(images):
        return model(images)[:, 0] if flat else model(images)[:, :1]

    given = batch()
    prediction = Predictor(one, activation=activation).predict(given)
    with torch.no_grad():
        logits = model(given.images)[:, :1].view(4, SIZE, 1)
    expected = logits.sigmoid().mean(0) if activation else logits.mean(0)
    torch.testing.assert_close(prediction.probabilities, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("method", tta.METHODS)
@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_nan_is_an_error_that_names_the_samples_and_no_others(model, method, activation, number):
    def broken(images):
        logits = model(images)
        if len(calls) == 1:  # the second view
            logits[3, 1] = number
        calls.append(len(images))
        return logits

    calls = []
    if number == torch.inf and activation != "softmax":
        assert not torch.isnan(
            Predictor(broken, method=method, activation=activation).predict(batch()).probabilities
        ).any()
        return
    name = "NaN" if number != torch.inf else r"\+∞"
    with pytest.raises(ValueError, match=f"got {name} for 1 samples of epoch 0, step 0: 'd'"):
        Predictor(broken, method=method, activation=activation).predict(batch())


def test_many_samples_with_nan_are_counted_and_the_first_named():
    with pytest.raises(ValueError, match=r"got NaN for 6 samples .*: 'a', 'b', 'c', 'd', 'e', 'f'"):
        Predictor(lambda images: torch.full((len(images), 3), torch.nan)).predict(batch())


@pytest.mark.parametrize("views", [1, 4])
@pytest.mark.parametrize("method", tta.METHODS)
def test_a_sample_without_a_class_left_is_named_and_no_nan_is_spoken_of(model, method, views):
    def masked(images):
        logits = model(images)
        logits[3], logits[4, 1:] = -torch.inf, -torch.inf  # 'd' has no class left, 'e' one
        return logits

    message = "got −∞ for every class for 1 samples of epoch 0, step 0: 'd'. Leave each sample a class"
    with pytest.raises(ValueError, match=message) as error:
        Predictor(masked, method=method).predict(batch(views))
    assert "NaN" not in str(error.value)


def test_views_that_are_certain_of_different_classes_have_no_median_and_the_merge_is_named():
    def certain(images):
        calls.append(1)
        return 1000.0 * torch.eye(3)[[len(calls) - 1] * len(images)]

    calls = []
    with pytest.raises(
        ValueError, match=r"merge: some class must have a chance .* got 0 for every class for 6 samples"
    ):
        Predictor(certain, method="median").predict(batch(views=3))


def test_nan_is_named_before_other_numbers_that_are_not_finite():
    def broken(images):
        logits = torch.zeros(len(images), 3)
        logits[0, 0], logits[1, 0], logits[2] = torch.inf, torch.nan, -torch.inf
        return logits

    with pytest.raises(ValueError, match="got NaN for 1 samples of epoch 0, step 0: 'b'"):
        Predictor(broken).predict(batch())


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
def test_logits_of_no_class_are_refused(activation):
    with pytest.raises(ValueError, match=r"model: must return logits \(6, K\) of one class or more, got \(6, 0\)"):
        Predictor(lambda images: torch.zeros(len(images), 0), activation=activation).predict(batch())


def test_a_number_of_classes_that_changes_is_an_error():
    class Growing:
        classes = 2

        def __call__(self, images):
            self.classes += 1
            return torch.zeros(len(images), self.classes)

    message = "model: must return as many classes for all images, got 4 after 3"
    with pytest.raises(ValueError, match=message):
        Predictor(Growing()).predict(batch(views=2))
    predictions = Predictor(Growing()).predict_all(iter([batch(views=1)] * 2))
    assert next(predictions).probabilities.shape == (SIZE, 3)
    with pytest.raises(ValueError, match=message):
        next(predictions)
    with pytest.raises(ValueError, match=message):
        tta.collect_logits(Growing(), [batch(views=1)] * 2)
