"""Models by name: pipelines/models.py, and the sizes and rates of the epochs."""

import runpy
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from programs import PIPELINES
from torch import nn


@pytest.fixture
def models(monkeypatch):
    """The module's names; neither timm nor torchvision is installed."""
    monkeypatch.syspath_prepend(str(PIPELINES))
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    found = runpy.run_path(str(PIPELINES / "models.py"))
    installed = found["importlib"].util.find_spec

    def find_spec(name):
        return None if sys.modules.get(name, name) is None else installed(name)

    monkeypatch.setattr(found["importlib"].util, "find_spec", find_spec)
    return found


def with_module(monkeypatch, name, **attributes):
    module = ModuleType(name)
    module.__spec__ = SimpleNamespace(name=name)
    vars(module).update(attributes)
    monkeypatch.setitem(sys.modules, name, module)


def make_linear(name, num_classes):
    return nn.Linear(2, num_classes)


@pytest.mark.parametrize(("name", "weights"), [("tiny_resnet", 340_546), ("resnet50", 25_557_032 - 2048 * 990 - 990)])
def test_the_built_in_models_have_the_published_numbers_of_weights(models, name, weights):
    model = models["build_model"](name, 10, torch.device("cpu"))
    assert models["find_model"](name)[1] == "pipelines"
    assert sum(values.numel() for values in model.parameters()) == weights
    assert model.eval()(torch.zeros(2, 3, 64, 64)).shape == (2, 10)


def test_timm_is_asked_first_and_torchvision_next(models, monkeypatch):
    with_module(monkeypatch, "torchvision")
    with_module(
        monkeypatch,
        "torchvision.models",
        list_models=lambda module: ["resnet50", "vgg11"],
        get_model=make_linear,
    )
    assert models["find_model"]("resnet50")[1] == "torchvision"
    assert models["build_model"]("vgg11", 7, torch.device("cpu")).out_features == 7
    with_module(monkeypatch, "timm", is_model=lambda name: name == "resnet50", create_model=make_linear)
    assert models["find_model"]("resnet50")[1] == "timm"
    assert models["find_model"]("vgg11")[1] == "torchvision"
    assert models["find_model"]("tiny_resnet")[1] == "pipelines"


def test_an_unknown_name_is_an_error_that_says_what_there_is(models):
    with pytest.raises(ValueError, match=r"--model: must be a model of timm .* got resnet5\. "):
        models["find_model"]("resnet5")


def test_a_function_must_return_a_module(models):
    with pytest.raises(TypeError, match=r"--model: must return a torch.nn.Module, got dict"):
        models["build_model"]("builtins:dict", 10, torch.device("cpu"))


@pytest.mark.parametrize(
    ("epochs", "first", "last", "expected"),
    [
        (3, None, 224, [224] * 3),
        (8, 128, 224, [128, 128, 160, 160, 192, 192, 224, 224]),
        (2, 32, 64, [32, 64]),
        (4, 100, 100, [100] * 4),
    ],
)
def test_images_grow_in_steps_of_32_and_the_last_epochs_have_the_full_size(monkeypatch, epochs, first, last, expected):
    monkeypatch.syspath_prepend(str(PIPELINES))
    assert runpy.run_path(str(PIPELINES / "training_data.py"))["sizes"](epochs, first, last) == expected


def test_the_learning_rate_warms_up_linearly_and_follows_a_cosine(monkeypatch):
    monkeypatch.syspath_prepend(str(PIPELINES))
    rate = runpy.run_path(str(PIPELINES / "imagenet_train.py"))["learning_rate"]
    args = SimpleNamespace(lr=2.0, min_lr=0.5, warmup_epochs=5.0, epochs=15)
    assert [rate(args, done) for done in (0, 2.5, 5)] == [0.0, 1.0, 2.0]
    assert rate(args, 10.0) == pytest.approx(1.25)
    assert rate(args, 15.0) == pytest.approx(0.5)
