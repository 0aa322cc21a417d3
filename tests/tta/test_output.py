"""Where the logits are in what a model returns."""

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch

from streamaug import tta

IMAGES = torch.randn(6, 3, 2, 2, generator=torch.Generator().manual_seed(0))


def logits(images):
    return images.flatten(1)[:, :5]


class Mapped(dict):
    """A mapping with attributes, as transformers' models return."""

    __getattr__ = dict.__getitem__


class Named(NamedTuple):
    logits: torch.Tensor
    aux_logits: torch.Tensor


@dataclass
class Record:
    logits: torch.Tensor


FOUND = {
    "a key": (lambda z: {"aux": z * 0, "logits": z}, "logits"),
    "a key of a mapping with attributes": (lambda z: Mapped(loss=None, logits=z), "logits"),
    "a key that is a method's name": (lambda z: {"values": z}, "values"),
    "a key that is a number": (lambda z: {3: z, 0: z * 0}, 3),
    "an index": (lambda z: (z, z * 0), 0),
    "an index from the end": (lambda z: [z * 0, z], -1),
    "a field of a named tuple": (lambda z: Named(z, z * 0), "logits"),
    "a field of a record": (Record, "logits"),
    "a function": (lambda z: {"heads": (z * 0, z)}, lambda answer: answer["heads"][1]),
    "a function of a tensor": (lambda z: torch.cat([z, z], 1), lambda answer: answer[:, :5]),
}


@pytest.mark.parametrize("case", FOUND)
def test_output_picks_the_logits(case):
    wrap, output = FOUND[case]
    found = tta.view_logits(lambda images: wrap(logits(images)), IMAGES, 2, output=output)
    assert torch.equal(found, logits(IMAGES).view(2, 3, 5))


LOST = {
    "a tuple": (lambda z: (z, z), None, r"must return its logits as a tensor, got tuple .* Write output=0"),
    "a mapping": (lambda z: {"out": z}, None, r"got dict with the keys 'out'. Write output='out'"),
    "an empty mapping": (lambda z: {}, None, r"Write output='logits'"),
    "a record": (Record, None, r"got Record. Write output=function"),
    "no such key": (lambda z: {"out": z}, "logits", r"'logits' is not in what the model returned, dict with"),
    "no such key of a mapping with attributes": (lambda z: Mapped(out=z), "logits", "'logits' is not in"),
    "no such index": (lambda z: (z, z), 7, r"7 is not in what the model returned, tuple of Tensor, Tensor"),
    "a key into a tuple": (lambda z: (z, z), "logits", "'logits' is not in"),
    "a key to no tensor": (lambda z: {"logits": [z]}, "logits", r"'logits' must pick a tensor, got list"),
    "an index into a tensor": (lambda z: z, 0, "must be None where the model returns a tensor"),
    "a key into a tensor": (lambda z: z, "logits", "must be None where the model returns a tensor"),
    "a function that finds nothing": (lambda z: (z, z), lambda answer: None, "must pick a tensor, got NoneType"),
}


@pytest.mark.parametrize("case", LOST)
def test_a_model_that_returns_no_logits_there_is_told_of_output(case):
    wrap, output, message = LOST[case]
    with pytest.raises(ValueError, match=f"^output: .*{message}"):
        tta.view_logits(lambda images: wrap(logits(images)), IMAGES, 2, output=output)


@pytest.mark.parametrize("output", [True, 1.5, ["logits"]])
def test_an_output_that_is_none_of_these_is_refused(output):
    with pytest.raises(ValueError, match="output: must be a key, an index, a function or None"):
        tta.view_logits(logits, IMAGES, 2, output=output)
