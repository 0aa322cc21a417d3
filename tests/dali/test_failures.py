"""Failures that no sample is to blame for: raised as they are, after the batches before them, and nothing is replaced.

A GPU is simulated: its graph runs on the CPU, by a runner that raises DALI's own texts.
"""

import pytest
from augmenting import SimulatedGpu, encoded_batches, refuse, rejected_by_dali_alone, simulated_gpu, stand_in

from streamaug import recipes
from streamaug.dali import engine as engine_module
from streamaug.dali import sample_decoder
from streamaug.dali.engine import AugmentEngine
from streamaug.dali.runner import Runner
from streamaug.dali.sample_decoder import RefusedError, SampleDecoder

TRAIN = recipes.imagenet_train(size=32)
TEXT = (
    "Critical error in pipeline:\nError in MIXED operator `nvidia.dali.fn.decoders.image`,\nwhich was used in the "
    "pipeline definition with the following traceback:\n\n  File decode.py, line 38, in decode\n\nencountered:\n\n{}\n"
    "Current pipeline object is no longer valid."
)
OUT_OF_MEMORY = TEXT.format("CUDA runtime API error cudaErrorMemoryAllocation (2):\nout of memory")
ILLEGAL = TEXT.format("CUDA runtime API error cudaErrorIllegalAddress (700):\nan illegal memory access was encountered")
CODEC = TEXT.format("nvImageCodec failure: '#8'")


@pytest.fixture
def jpegs(drawn):
    return [jpeg for _, _, jpeg in drawn[:64]]


def failing(base, *, error, collects=(), submits=()):
    """A kind of runner that raises `error` at calls of these numbers, counted over all runners of that kind."""

    class Failing(base):
        collected = submitted = 0

        def submit(self, arrays):
            Failing.submitted += 1
            with self._freed_if_it_fails():
                if Failing.submitted - 1 in submits:
                    raise error
            super().submit(arrays)

        def collect(self):
            Failing.collected += 1
            with self._freed_if_it_fails():
                if Failing.collected - 1 in collects:
                    raise error
            return super().collect()

    return Failing


def delivered(data, replace, *, device="gpu", prefetch=2):
    """The images of a pass up to its error, and the error."""
    images, engine = [], AugmentEngine(TRAIN, device=device, num_threads=1, prefetch=prefetch)
    try:
        images.extend(batch.images for batch in engine.run(encoded_batches(data, 8), replace))
    except (RuntimeError, MemoryError) as error:
        return images, error
    return images, None


@pytest.mark.parametrize("text", [OUT_OF_MEMORY, ILLEGAL, CODEC], ids=["out of memory", "illegal access", "codec"])
def test_an_error_of_the_device_is_raised_as_it_is_and_quarantines_nothing(jpegs, text):
    replace, asked = stand_in(jpegs[3])
    broken = failing(SimulatedGpu, error=RuntimeError(text), collects=range(3, 99))
    with simulated_gpu(runner=broken):
        batches, error = delivered(jpegs, replace)
    assert len(batches) == 3
    assert str(error) == text
    assert "DALI failed on cuda:0" in error.__notes__[0]
    assert "none is to blame" in error.__notes__[0]
    assert asked == []


def test_a_bad_sample_beside_a_passing_error_of_the_device_is_judged_by_the_cpu(jpegs):
    bad = rejected_by_dali_alone()
    data = [bad if row == 13 else jpeg for row, jpeg in enumerate(jpegs)]
    replace, asked = stand_in(jpegs[3])
    with simulated_gpu(runner=failing(SimulatedGpu, error=RuntimeError(OUT_OF_MEMORY), collects=[1])):
        batches, error = delivered(data, replace)
    assert error is None
    assert len(batches) == 8
    assert [(step, row) for step, row, _ in asked] == [(1, 5)]
    assert asked[0][2].startswith("DALI cannot decode it: ")
    assert "memory" not in asked[0][2]


def test_what_the_cpu_refuses_is_replaced_on_a_gpu_too_with_the_cpus_reason(jpegs):
    data = [rejected_by_dali_alone() if row == 13 else jpeg for row, jpeg in enumerate(jpegs)]
    reasons = []
    for device in ("cpu", "gpu"):
        replace, asked = stand_in(jpegs[3])
        with simulated_gpu():
            engine = AugmentEngine(TRAIN, device=device, num_threads=1)
            assert len(list(engine.run(encoded_batches(data, 8), replace))) == 8
        reasons.append(asked)
    assert reasons[0] == reasons[1] != []


@pytest.mark.parametrize("error", [MemoryError("std::bad_alloc"), RuntimeError(OUT_OF_MEMORY)])
@pytest.mark.parametrize("prefetch", [1, 3])
def test_an_error_at_a_later_batch_comes_after_the_batches_before_it(jpegs, error, prefetch):
    replace, asked = stand_in(jpegs[3])
    expected, _ = delivered(jpegs, replace, device="cpu")
    with simulated_gpu(runner=failing(SimulatedGpu, error=error, submits=[4])):
        batches, raised = delivered(jpegs, replace, prefetch=prefetch)
    assert raised is error
    assert len(batches) == 4
    assert all((ours - theirs).abs().max() < 0.1 for ours, theirs in zip(batches, expected, strict=False))
    assert asked == []


def test_want_of_memory_at_a_batch_is_no_verdict(jpegs):
    replace, asked = stand_in(jpegs[3])
    error = MemoryError("std::bad_alloc")
    with simulated_gpu(runner=failing(SimulatedGpu, error=error, collects=[2])):
        batches, raised = delivered(jpegs, replace)
    assert raised is error
    assert len(batches) == 2
    assert asked == []


def test_a_device_that_is_gone_leaves_its_first_error(jpegs):
    replace, asked = stand_in(jpegs[3])
    gone = failing(SimulatedGpu, error=RuntimeError(ILLEGAL), submits=range(4, 99), collects=range(4, 99))
    with simulated_gpu(runner=gone):
        batches, raised = delivered(jpegs, replace, prefetch=3)
    assert str(raised) == ILLEGAL
    assert len(batches) >= 1
    assert asked == []


@pytest.mark.parametrize("text", ["std::bad_alloc", "out of memory", "Cannot allocate memory"])
def test_a_verdict_that_memory_did_not_suffice_for_is_none(jpegs, monkeypatch, text):
    monkeypatch.setattr(sample_decoder, "Runner", failing(Runner, error=RuntimeError(TEXT.format(text)), collects=[0]))
    decoder = SampleDecoder()
    with pytest.raises(MemoryError, match=text):
        decoder.decode(jpegs[0], (0, 0), (2, 2))
    assert decoder.decode(jpegs[0], (0, 0), (2, 2)).shape == (2, 2, 3)
    with pytest.raises(RefusedError):
        decoder.decode(rejected_by_dali_alone(), (0, 0), (2, 2))


def test_another_device_gets_a_pipeline_of_its_own(jpegs, monkeypatch):
    with simulated_gpu(), monkeypatch.context() as patching:
        engine = AugmentEngine(TRAIN, device="gpu", num_threads=1)
        devices = []
        for index in (0, 0, 1, 0):
            patching.setattr(engine_module, "resolve_device", lambda name, warn, index=index: index)
            list(engine.run(encoded_batches(jpegs, 32), refuse))
            devices.append(engine._flight.runner.device)
    assert devices == [0, 0, 1, 0]
