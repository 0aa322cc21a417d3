"""Targets: class numbers, none, or whatever a function makes of a component; what it refuses is a bad sample."""

import numpy as np
import pytest
import torch
from chains import plain
from reading import rows

import streamaug as sa
from streamaug import recipes
from streamaug.errors import BadSampleError, TargetError


def chain(url, targets="label", **options):
    return plain(url, **options).augment(recipes.imagenet_train(size=16), device="cpu", num_threads=2, targets=targets)


def first(url, targets):
    """A batch, and its labels as the shards have them."""
    batch = next(iter(chain(url, targets)))
    return batch, [int(bytes(text)) for text in batch.extras["cls"]]


def test_labels_are_class_numbers_unless_something_else_is_asked_for(url):
    batch, labels = first(url, "label")
    assert batch.targets.dtype == torch.int64
    assert batch.targets.tolist() == labels


def test_without_targets_every_component_stays_in_the_extras(url):
    batch, _ = first(url, None)
    assert batch.targets is None
    assert batch.extras.keys() == {"cls"}
    images, targets = batch
    assert images is batch.images
    assert targets is None


def ints(text):
    return int(text) + 1


def bools(text):
    return int(text) % 2 == 0


def floats(text):
    return int(text) / 2


def mixed_numbers(text):
    return int(text) if int(text) % 2 else int(text) + 0.5


def vectors(text):
    return np.array([int(text), 1], np.float32)


def doubles(text):
    return np.array(int(text), np.float64)


def bytes_of(text):
    return np.frombuffer(text[-1:], np.uint8)


def scalars(text):
    return np.int32(int(text))


#: A function, and the type and the values that it makes of labels.
FUNCTIONS = {
    ints: (torch.int64, lambda label: label + 1),
    bools: (torch.int64, lambda label: label % 2 == 0),
    floats: (torch.float32, lambda label: label / 2),
    vectors: (torch.float32, lambda label: [label, 1]),
    doubles: (torch.float64, lambda label: label),
    bytes_of: (torch.uint8, lambda label: [ord(str(label)[-1])]),
    scalars: (torch.int32, lambda label: label),
}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_what_a_function_makes_of_a_component_is_stacked(url, function):
    dtype, value = FUNCTIONS[function]
    batch, labels = first(url, function)
    assert batch.targets.dtype == dtype
    assert batch.targets.tolist() == [value(label) for label in labels]


def test_whole_and_other_numbers_in_a_batch_are_float32_with_a_warning(url):
    with pytest.warns(
        UserWarning, match=r"augment\.targets: should return numbers of one type.*got float32 and int64, "
    ) as log:
        batches = list(chain(url, mixed_numbers))
    assert len([warning for warning in log if "one type" in str(warning.message)]) == 1
    for batch in batches:
        labels = [int(bytes(text)) for text in batch.extras["cls"]]
        assert batch.targets.dtype == (torch.int64 if all(label % 2 for label in labels) else torch.float32)
        assert batch.targets.tolist() == [label if label % 2 else label + 0.5 for label in labels]


def test_a_batch_of_another_type_than_those_before_is_a_warning(url):
    calls = []

    def late_floats(text):
        calls.append(text)
        return int(text) if len(calls) <= 64 else float(text)

    with pytest.warns(UserWarning, match="augment.targets: should return numbers of one type.*got float32 and int64, "):
        batches = list(chain(url, late_floats))
    assert [batch.targets.dtype for batch in batches[:2]] == [torch.int64, torch.float32]


def test_a_function_is_given_bytes_and_the_pixels_are_those_of_any_targets(url):
    kinds = set()
    batch, _ = first(url, lambda text: kinds.add(type(text)) or 0)
    assert kinds == {bytes}
    assert torch.equal(batch.images, first(url, "label")[0].images)


def odd_only(text):
    if int(text) % 2 == 0:
        raise LookupError(f"{int(text)} is even")
    return int(text)


def test_a_sample_that_a_function_refuses_is_bad_with_the_cause(url):
    with pytest.raises(TargetError, match=r"augment\.targets failed for its component 'cls'.*is even") as caught:
        list(chain(url, odd_only))
    assert isinstance(caught.value, BadSampleError)
    assert isinstance(caught.value.__cause__, LookupError)
    assert "Augmenter failed at epoch 0, step 0" in " ".join(caught.value.__notes__)


def test_a_sample_that_a_function_refuses_is_replaced_where_that_is_asked_for(url):
    loader = chain(url, odd_only, on_bad_sample="substitute")
    batches = list(loader)
    assert all(bool((batch.targets % 2 == 1).all()) for batch in batches)
    everything = rows(chain(url))
    for position, row in rows(batches).items():
        assert row.is_substitute == (everything[position].target % 2 == 0)
        assert row.is_substitute or row == everything[position]
    assert loader.num_bad_samples == len(
        {row.sample_id for row in everything.values() if row.target % 2 == 0}
    ) or loader.num_bad_samples > sum(row.target % 2 == 0 for row in everything.values())


@pytest.mark.parametrize("value", [None, "3", b"3", [1, 2], {"a": 1}, 1j, np.array("3"), torch.tensor(3)], ids=repr)
def test_what_is_neither_a_number_nor_an_array_is_a_bad_target(url, value):
    with pytest.raises(TargetError, match="must return an int, a float or an array of numbers"):
        next(iter(chain(url, lambda text: value)))


def test_arrays_of_different_shapes_are_an_error_that_says_so(url):
    with pytest.raises(ValueError, match=r"augment\.targets: must return arrays of one shape"):
        next(iter(chain(url, lambda text: np.zeros(int(text) % 3))))


@pytest.mark.parametrize("targets", ["labels", 3, True, ("label",)])
def test_anything_else_is_refused_at_construction(url, targets):
    with pytest.raises(sa.errors.RecipeError, match=r"augment\.targets"):
        chain(url, targets)


def test_labels_beyond_num_classes_are_bad_and_functions_are_not_asked(url):
    with pytest.raises(TargetError):
        list(chain(url, num_classes=5))
    assert next(iter(chain(url, ints, num_classes=5))).targets.max() > 5
