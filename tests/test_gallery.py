"""The gallery shows every operation with what it takes, and its pictures are what the operation makes."""

import dataclasses

import numpy as np
import pytest
from operation_facts import arguments, costs, facts, parameters
from operation_pictures import HEIGHT, draws, examples, strip
from operations import exported_operations, names

from streamaug import ops

GALLERY = dict(examples())


def test_every_operation_is_in_the_gallery_and_in_its_own_example():
    assert sorted(GALLERY) == names(exported_operations())
    for name, example in GALLERY.items():
        assert name in [type(each).__name__ for each in example.operations]
        assert example.recipe.size is not None


@pytest.mark.parametrize("name", GALLERY)
def test_every_parameter_has_a_meaning(name):
    kind = getattr(ops, name)
    found = parameters(kind)
    assert [field for field, _, _ in found] == [field.name for field in dataclasses.fields(kind)]
    assert all(len(meaning) > 5 for _, _, meaning in found)


def test_what_is_said_of_draws_and_kind_is_what_the_operation_says():
    said = facts("Rotate", GALLERY["Rotate"])
    assert said["Kind"].startswith("geometry")
    assert said["Draws"] == "1 random number a sample, and one that decides whether it acts"
    assert facts("Resize", GALLERY["Resize"])["Draws"] == "no random numbers"
    assert facts("ColorJitter", GALLERY["ColorJitter"])["Kind"].startswith("photometry")
    assert facts("RandAugment", GALLERY["RandAugment"])["Kind"].startswith("a policy")


def test_costs_are_of_operations_that_exist():
    assert set(costs()) == set(GALLERY)
    assert facts("Rotate", GALLERY["Rotate"])["Cost"] == costs()["Rotate"]


def test_arguments_of_a_docstring_are_read_with_their_further_lines():
    text = "Do.\n\nArgs:\n    a, b: First\n        and more.\n    c: Last.\n\nRaises:\n    ValueError: Never.\n"
    assert arguments(text) == {"a": "First and more.", "b": "First and more.", "c": "Last."}


def test_a_strip_holds_the_photograph_and_different_draws_of_what_is_random():
    drawn = [np.asarray(image) for image in draws(GALLERY["Rotate"])]
    assert len(drawn) == len({image.tobytes() for image in drawn}) == 4
    picture = strip(GALLERY["Invert"])
    assert picture.height == HEIGHT
    assert picture.width < 3 * HEIGHT  # the photograph and a single square
    inverted = np.asarray(draws(GALLERY["Invert"], 1)[0], int)
    plain = np.asarray(draws(GALLERY["Resize"], 1)[0], int)
    assert np.abs(255 - plain - inverted).max() <= 1
