"""The decoder of a GPU: whole images, each by a path that the sample alone decides, unless the user gives that up."""

import pickle
import struct

import pytest
from augmenting import augmented, encoded_batches, refuse, simulated_gpu, traced
from hypothesis import given
from hypothesis import strategies as st

from streamaug import recipes
from streamaug.dali.engine import AugmentEngine
from streamaug.errors import RecipeError

TRAIN = recipes.imagenet_train(size=32)


def decoder(load):
    graph = traced(TRAIN, "gpu", hw_decoder_load=load)
    assert [operator.schema for operator in graph if "decoders" in operator.schema] == ["decoders__Image"]
    return next(operator for operator in graph if operator.schema == "decoders__Image")


@pytest.mark.parametrize("load", [0.0, 0.65, 1.0])
def test_a_gpu_decodes_whole_images_with_the_load_that_is_asked_for(load):
    found = decoder(load)
    assert found.device == "mixed"
    assert struct.unpack("<f", found.constants["hw_decoder_load"])[0] == pytest.approx(load)
    assert found.constants["jpeg_fancy_upsampling"] == 1  # as a CPU always does
    assert found.constants["adjust_orientation"] == 0


def test_a_cpu_decodes_the_window_alone():
    schemas = [operator.schema for operator in traced(TRAIN, "cpu")]
    assert "decoders__ImageSlice" in schemas
    assert "Slice" not in schemas


@pytest.mark.slow
def test_the_load_is_0_by_default_and_reaches_the_graph_of_a_gpu(photos, monkeypatch):
    from streamaug.dali import flight as module

    given_loads, define = [], module.define
    monkeypatch.setattr(module, "define", lambda *graph: (given_loads.append(graph[3]), define(*graph))[1])
    with simulated_gpu():
        for options in ({}, {"hw_decoder_load": 0.5}):
            engine = AugmentEngine(TRAIN, device="gpu", num_threads=1, **options)
            list(engine.run(encoded_batches(photos[:4], 4), refuse))
            copy = pickle.loads(pickle.dumps(engine))
            list(copy.run(encoded_batches(photos[:4], 4), refuse))
    assert given_loads == [0.0, 0.0, 0.5, 0.5]


def test_a_load_that_voids_a_promise_shows_in_the_repr():
    assert "hw_decoder_load" not in repr(AugmentEngine(TRAIN, device="cpu"))
    assert repr(AugmentEngine(TRAIN, device="cpu", hw_decoder_load=0.25)).endswith("hw_decoder_load=0.25")


@given(st.one_of(st.floats(max_value=-1e-9), st.floats(min_value=1.0 + 1e-9), st.just(float("nan")), st.just("all")))
def test_a_load_outside_0_to_1_is_refused(load):
    with pytest.raises(RecipeError, match=r"augment\.hw_decoder_load: must be a share within 0\.\.1"):
        AugmentEngine(TRAIN, device="cpu", hw_decoder_load=load)


def test_a_load_changes_nothing_on_a_cpu(photos):
    engine = AugmentEngine(TRAIN, device="cpu", num_threads=1, hw_decoder_load=1.0)
    (batch,) = engine.run(encoded_batches(photos[:4], 4), refuse)
    assert (batch.images == augmented(TRAIN, photos[:4], batch_size=4)).all()
