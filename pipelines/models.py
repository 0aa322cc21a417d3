"""Models by name, and their weights from a checkpoint.

A name is `module:function`, called with `num_classes=K`, or a plain one such as `resnet50`: timm's model of that name
where timm is installed, else torchvision's, else the module in this folder.
"""

import importlib
import importlib.util
from collections.abc import Callable

import torch
from torch import nn

#: The models of this folder, each module with a function of its own name.
BUILT_IN = ("tiny_resnet", "resnet50")

Factory = Callable[..., nn.Module]


def _timm(name: str) -> Factory | None:
    if importlib.util.find_spec("timm") is None:
        return None
    timm = importlib.import_module("timm")
    if not timm.is_model(name):
        return None
    return lambda num_classes: timm.create_model(name, num_classes=num_classes)


def _torchvision(name: str) -> Factory | None:
    if importlib.util.find_spec("torchvision") is None:
        return None
    models = importlib.import_module("torchvision.models")
    if name not in models.list_models(module=models):
        return None
    return lambda num_classes: models.get_model(name, num_classes=num_classes)


def _built_in(name: str) -> Factory | None:
    if name not in BUILT_IN:
        return None
    factory: Factory = getattr(importlib.import_module(name), name)
    return factory


#: The libraries that are asked for a plain name, in this order.
SOURCES = {"timm": _timm, "torchvision": _torchvision, "pipelines": _built_in}


def find_model(name: str) -> tuple[Factory, str]:
    """The function that makes the model, and the name of its library.

    Raises:
        ValueError: If no library has a model of that name.
    """
    module, colon, function = name.partition(":")
    if colon:
        return getattr(importlib.import_module(module), function), module
    for source, find in SOURCES.items():
        factory = find(name)
        if factory is not None:
            return factory, source
    raise ValueError(
        f"--model: must be a model of timm or torchvision, where they are installed, module:function, or one of "
        f"{', '.join(BUILT_IN)}, got {name}. Install timm, or write tiny_resnet."
    )


def build_model(name: str, num_classes: int, device: torch.device) -> nn.Module:
    """Make the model of that name on the device.

    Raises:
        TypeError: If it is no torch module.
        ValueError: If no library has a model of that name.
    """
    model = find_model(name)[0](num_classes=num_classes)
    if not isinstance(model, nn.Module):
        raise TypeError(f"--model: must return a torch.nn.Module, got {type(model).__name__}. Check {name}.")
    return model.to(device)


def load_weights(path: str, model: nn.Module, device: torch.device, *, average: bool = False) -> None:
    """Load the weights of a checkpoint that imagenet_train.py wrote; its moving average's if `average`.

    Raises:
        ValueError: If it holds no moving average.
    """
    state = torch.load(path, map_location=device, weights_only=True)
    if average and state["ema"] is None:
        raise ValueError(f"--ema: the checkpoint must hold a moving average, {path} has none. Leave --ema out.")
    model.load_state_dict(state["ema"]["model"] if average else state["model"])
