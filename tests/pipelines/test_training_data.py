"""The chain of pipelines/imagenet_train.py, by its flags."""

import runpy
import sys
from types import SimpleNamespace

import pytest
from programs import PIPELINES


@pytest.fixture
def chain(uneven, monkeypatch, tmp_path):
    """From flags to the chain."""
    url, _ = uneven
    monkeypatch.syspath_prepend(str(PIPELINES))
    options, data = (runpy.run_path(str(PIPELINES / f"training_{name}.py")) for name in ("options", "data"))

    def build(flags):
        common = f"--train {url} --checkpoint {tmp_path}/run.pt --size 32 --batch-size 32 --lanes 16 --device cpu"
        monkeypatch.setattr(sys, "argv", ["imagenet_train.py", *common.split(), *flags.split()])
        return data["training_pipe"](options["arguments"](""), SimpleNamespace(loader_device="cpu"))

    yield build
    for name in ("checkpoints", "launch"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("kind", "cut"), [("mixup", {False}), ("cutmix", {True}), ("both", {False, True})])
def test_mixing_is_of_the_kind_that_is_asked_for_until_its_last_epoch(chain, kind, cut):
    pipe = chain(f"--mix {kind} --mix-off-epoch 1")
    mixed = next(iter(pipe)).mix
    assert (mixed.lam < 1).mean() > 0.7
    assert set(mixed.is_cutmix.tolist()) == cut
    pipe.set_epoch(1)
    batch = next(iter(pipe))
    assert (batch.mix.lam == 1).all()
    assert batch.targets.shape == (32, 1000)


def test_cutout_erases_a_square_of_each_image_and_nothing_else(chain):
    plain, cut = (next(iter(chain(f"--mix none {flags}"))).images for flags in ("", "--cutout 8"))
    changed = (plain != cut).any(1)
    assert changed.any((1, 2)).all()
    assert changed.sum((1, 2)).max() <= 64
    mean = cut.permute(0, 2, 3, 1)[changed].abs()
    assert mean.max() < 0.02  # half a gray level


def test_no_mixing_leaves_class_numbers(chain):
    batch = next(iter(chain("--mix none")))
    assert batch.mix is None
    assert batch.targets.shape == (32,)


def test_repeats_are_copies_of_samples_that_are_not_mixed_with_each_other(chain):
    pipe = chain("--mix both --repeats 3 --lanes 8")
    origin, mix = (batch := next(iter(pipe))).origin, batch.mix
    assert origin.repeats == 3
    assert len(set(origin.sample_ids.tolist())) == 16  # four slots of eight lanes are two samples
    assert (origin.sample_ids != origin.sample_ids[mix.partner]).all()
    assert len({image.numpy().tobytes() for image in batch.images}) == 32
