"""The sub-operations of a policy that change values, as branches of the graph for the samples that chose them.

In: for one step of a policy, each sample's sub-operation and amount. Out: the parameters of the branches, and their
nodes.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamaug.ops.auto_contrast import stretched
from streamaug.ops.base import Parameters
from streamaug.ops.equalize import equalized
from streamaug.ops.grayscale import gray, luma
from streamaug.ops.nodes import Arguments, Node
from streamaug.ops.policy_steps import Step, Values
from streamaug.ops.posterize import mask
from streamaug.ops.sharpen import kernels
from streamaug.ops.solarize import solarized

_NEVER, _HALF = 256, 128
#: Names of the parameters with which branches compute, see `Photometric.inputs`.
BRANCH_INPUTS = frozenset({"add", "blend", "kernel", "mask", "threshold"})


def step_parameters(step: npt.NDArray[np.int64], amount: Values, uses: frozenset[int]) -> Parameters:
    """One step of a batch: a flag for each branch that can occur, and the numbers that these branches need.

    Args:
        step: int64 (B,), values of `Step`.
        amount: float64 (B,), with their signs.
        uses: The sub-operations that can occur.
    """
    parameters: Parameters = {}
    # The samples of each branch.
    for name, branch in _BRANCHES.items():
        if uses & branch.steps:
            parameters[name] = _contains(branch.steps)[step]
    # The inputs of these branches, and of no others.
    needed = {name for branch in parameters for name in _BRANCHES[branch].inputs}
    factor = 1.0 + np.where((step >= Step.BRIGHTNESS) & (step <= Step.SHARPNESS), amount, 0.0)
    if "factor" in needed:
        parameters["factor"] = factor.astype(np.float32)
    if "blend" in needed:
        parameters["blend"] = np.stack([factor, 1.0 - factor], axis=1).astype(np.float32)[..., None]
    if "kernel" in needed:
        parameters["kernel"] = kernels(factor)
    if "mask" in needed:
        bits = np.where(step == Step.POSTERIZE, amount, 8.0).astype(np.int64)
        threshold = np.where(step == Step.SOLARIZE, np.ceil(amount), _NEVER)
        parameters["mask"] = mask(bits)
        parameters["threshold"] = np.where(step == Step.INVERT, 0, threshold).astype(np.int16)
    if "add" in needed:
        parameters["add"] = np.where(step == Step.SOLARIZE_ADD, amount, 0.0).astype(np.uint8)
    return parameters


def add_branches(image: Node, arguments: Arguments, nodes: Mapping[str, Node]) -> Node:
    """One step of a policy in the graph: uint8 (H, W, 3) in and out.

    Args:
        image: The image node.
        arguments: The policy's arguments.
        nodes: The nodes of `step_parameters`, by name.
    """
    for name, branch in _BRANCHES.items():
        if name in nodes:
            inputs = {parameter: nodes[parameter] for parameter in branch.inputs}
            image = replace(arguments, nodes=inputs).where(nodes[name], image, branch.build)
    return image


@lru_cache(maxsize=32)
def _contains(steps: frozenset[int]) -> npt.NDArray[np.bool_]:
    """Whether each sub-operation is in `steps`: bool, by its number."""
    table = np.zeros(len(Step), np.bool_)
    table[list(steps)] = True
    return table


def blended(image: Node, other: Node, arguments: Arguments) -> Node:
    """The sum of two uint8 (H, W, 3) images with the weights `blend`, float32 (2, 1); above 1 they extrapolate.

    A filter across the two as planes, because it rounds and clips to uint8 in a vectorised way.
    """
    fn = arguments.fn
    height, width = arguments.height, arguments.width
    planes = [fn.reshape(plane, shape=[1, height * width * 3], layout="HW") for plane in (image, other)]
    total = fn.filter(fn.cat(*planes, axis=0), arguments["blend"], mode="valid")
    return fn.reshape(total, shape=[height, width, 3], layout="HWC")


def _brightness(image: Node, arguments: Arguments) -> Node:
    return arguments.fn.brightness_contrast(image, brightness=arguments["factor"])


def _color(image: Node, arguments: Arguments) -> Node:
    return blended(image, gray(image, arguments), arguments)


def _contrast(image: Node, arguments: Arguments) -> Node:
    """Contrast about the mean luma of the image, rounded to a whole level as Pillow does."""
    fn, types = arguments.fn, arguments.types
    mean = fn.cast(fn.reductions.mean(luma(image, arguments), axes=(0, 1, 2)), dtype=types.UINT8)
    return blended(image, (image & types.Constant(0, types.UINT8)) | mean, arguments)


def _sharpness(image: Node, arguments: Arguments) -> Node:
    return arguments.fn.filter(image, arguments["kernel"])


def _tones(image: Node, arguments: Arguments) -> Node:
    return solarized(image & arguments.beside("mask"), arguments.beside("threshold"), arguments)


def _solarize_add(image: Node, arguments: Arguments) -> Node:
    return image + (image < _HALF) * arguments.beside("add")


def _auto_contrast(image: Node, arguments: Arguments) -> Node:
    return stretched(image, arguments)


def _equalize(image: Node, arguments: Arguments) -> Node:
    return equalized(image, arguments)


class _Branch(NamedTuple):
    """Nodes that run on the samples with one of `steps`, and the parameters that they use."""

    steps: frozenset[int]
    inputs: tuple[str, ...]
    build: Callable[[Node, Arguments], Node]


_BRANCHES = {
    "brightness": _Branch(frozenset({Step.BRIGHTNESS}), ("factor",), _brightness),
    "color": _Branch(frozenset({Step.COLOR}), ("blend",), _color),
    "contrast": _Branch(frozenset({Step.CONTRAST}), ("blend",), _contrast),
    "sharpness": _Branch(frozenset({Step.SHARPNESS}), ("kernel",), _sharpness),
    "tones": _Branch(frozenset({Step.POSTERIZE, Step.SOLARIZE, Step.INVERT}), ("mask", "threshold"), _tones),
    "solarize_add": _Branch(frozenset({Step.SOLARIZE_ADD}), ("add",), _solarize_add),
    "auto_contrast": _Branch(frozenset({Step.AUTO_CONTRAST}), (), _auto_contrast),
    "equalize": _Branch(frozenset({Step.EQUALIZE}), (), _equalize),
}
