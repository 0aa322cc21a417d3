"""Chains in timm's training loop, and mixing as timm does it: the same λ and targets, drawn and compared."""

import importlib.util
from argparse import Namespace
from pathlib import Path

import loops
import numpy as np
import pytest
import torch
from scipy import stats

from streamaug import MixPlan, Origin
from streamaug.integrations.timm import Loader, mixing_arguments

pytestmark = pytest.mark.filterwarnings("ignore")


def timms_mixup():
    """`timm.data.mixup`, from its file: the package itself imports torchvision."""
    package = importlib.util.find_spec("timm")
    if package is None:
        pytest.skip("timm is not installed")
    path = Path(package.submodule_search_locations[0]) / "data" / "mixup.py"
    spec = importlib.util.spec_from_file_location("timm_mixup", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def options(**others):
    """timm's own defaults of `train.py`, for a thousand classes."""
    defaults = {"mixup": 0.0, "cutmix": 0.0, "cutmix_minmax": None, "mixup_prob": 1.0, "mixup_switch_prob": 0.5}
    defaults |= {"mixup_mode": "batch", "mixup_off_epoch": 0, "smoothing": 0.1, "num_classes": loops.CLASSES}
    return Namespace(**defaults | others)


def train_one_epoch(epoch, loader, args):
    """The parts of timm's `train_one_epoch` and of the loop around it that use the loader."""
    loader.sampler.set_epoch(epoch)
    if args.mixup_off_epoch and epoch >= args.mixup_off_epoch and loader.mixup_enabled:
        loader.mixup_enabled = False
    seen = []
    for batch_idx, (images, target) in enumerate(loader):
        assert images.shape[0] == loader.batch_size
        seen.append((target.dtype, loops.digest(images, target)))
        last = batch_idx == len(loader) - 1
    assert last
    return seen


def test_timms_loop_mixes_until_it_says_otherwise(url, mixed_places):
    plain = loops.places(url, loops.plain)
    args, loader = options(mixup_off_epoch=2), Loader(loops.mixed(url))
    for epoch in range(4):
        kind, places = (torch.float32, mixed_places) if epoch < 2 else (torch.int64, plain)
        assert [(dtype, places[digest]) for dtype, digest in train_one_epoch(epoch, loader, args)] == [
            (kind, place) for place in loops.epochs(epoch)
        ]
    assert len(loader.dataset) == 97


def test_the_loader_switches_mixing_off_itself_also_when_resumed(url):
    loader = Loader(loops.mixed(url), mixup_off_epoch=1)
    dtypes = [[target.dtype for _, target in loader] for _ in range(2)]
    assert dtypes == [[torch.float32] * 6, [torch.int64] * 6]
    loader.set_epoch(1)
    stream = iter(loader)
    seen = [loops.digest(*next(stream)) for _ in range(2)]
    again = Loader(loops.mixed(url), mixup_off_epoch=1)
    again.load_state_dict(loader.state_dict())
    plain = loops.places(url, loops.plain)
    assert [plain[digest] for digest in seen + [loops.digest(*pair) for pair in again]] == loops.epochs(1)


def test_what_the_loop_would_set_in_vain_is_refused(url):
    loader = Loader(loops.plain(url))
    with pytest.raises(AttributeError):
        loader.mixup_enable = False
    with pytest.raises(ValueError, match=r"Loader\.mixup_enabled"):
        loader.mixup_enabled = True
    with pytest.raises(ValueError, match=r"Loader\.stage: a stage that mixes must be the last"):
        Loader(loops.mixed(url).map_batch(lambda batch: batch))
    with pytest.raises(ValueError, match=r"Loader\.mixup_off_epoch"):
        Loader(loops.mixed(url), mixup_off_epoch=-1)
    with pytest.raises(TypeError, match=r"Loader\.stage"):
        Loader([])


def test_arguments_have_our_names():
    assert mixing_arguments(options(mixup=0.8, cutmix=1.0, mixup_mode="elem", mixup_prob=0.7)) == {
        "num_classes": 1000,
        "mixup_alpha": 0.8,
        "cutmix_alpha": 1.0,
        "cutmix_minmax": None,
        "probability": 0.7,
        "switch_probability": 0.5,
        "lam": "element",
        "label_smoothing": 0.1,
    }
    minmax = mixing_arguments(options(cutmix_minmax=[0.2, 0.8]))
    assert (minmax["cutmix_alpha"], minmax["cutmix_minmax"], minmax["lam"]) == (1.0, (0.2, 0.8), "batch")
    with pytest.raises(ValueError, match=r"mixing_arguments\.mixup_mode"):
        mixing_arguments(options(mixup_mode="half"))


MODES = {"batch": "batch", "pair": "pair", "elem": "element"}


def drawn_by_timm(mode, count):
    """(λ as targets use it, whether CutMix) of many batches of 8 at 224², one value for each set of numbers."""
    module = timms_mixup()
    np.random.seed(5)  # noqa: NPY002 - timm draws from it
    mixup = module.Mixup(mixup_alpha=0.8, cutmix_alpha=1.0, prob=0.9, switch_prob=0.5, mode=mode)
    lam, cut = [], []
    for _ in range(count):
        shares, kinds = mixup._params_per_batch() if mode == "batch" else mixup._params_per_elem(1)
        share = float(np.ravel(shares)[0])
        kind = bool(np.ravel(kinds)[0]) and share != 1.0  # a row that is not mixed may be called CutMix's
        if kind:
            _, share = module.cutmix_bbox_and_lam((3, 224, 224), share)
        lam.append(float(share))
        cut.append(kind)
    return np.array(lam), np.array(cut)


def drawn_by_us(mode, count):
    arguments = mixing_arguments(options(mixup=0.8, cutmix=1.0, mixup_prob=0.9, mixup_mode=mode))
    for name in ("num_classes", "label_smoothing"):
        del arguments[name]
    lam, cut = [], []
    nothing = np.zeros(8, bool)
    for step in range(count // (1 if mode == "batch" else 4)):
        ids = np.arange(8 * step, 8 * step + 8)
        plan = MixPlan.draw(
            Origin(7, 0, step, 1, ids, ids, ("",) * 8, nothing, nothing), height=224, width=224, **arguments
        )
        rows = slice(0, 1 if mode == "batch" else 4)
        lam += plan.lam[rows].tolist()
        cut += plan.is_cutmix[rows].tolist()
    return np.array(lam), np.array(cut)


@pytest.mark.parametrize("mode", MODES)
def test_lambda_has_timms_distribution(mode):
    (theirs, their_kind), (ours, our_kind) = drawn_by_timm(mode, 6000), drawn_by_us(mode, 6000)
    assert stats.ks_2samp(theirs[their_kind], ours[our_kind]).pvalue > 0.01
    assert stats.ks_2samp(theirs[~their_kind], ours[~our_kind]).pvalue > 0.01
    assert abs(their_kind.mean() - our_kind.mean()) < 4 * np.sqrt(0.25 * 2 / 6000)


@pytest.mark.parametrize("mode", MODES)
def test_targets_are_timms(url, mode):
    module = timms_mixup()
    arguments = mixing_arguments(options(mixup=0.8, cutmix=1.0, mixup_mode=mode))
    for plain, batch in zip(loops.plain(url), loops.plain(url).mixup_or_cutmix(**arguments), strict=True):
        off = 0.1 / loops.CLASSES
        whole = module.one_hot(plain.targets, loops.CLASSES, 1 - 0.1 + off, off)
        lam = torch.from_numpy(batch.mix.lam).float()[:, None]
        expected = whole * lam + whole[batch.mix.partner] * (1 - lam)
        assert torch.allclose(batch.targets, expected, atol=1e-6)
        assert (len(set(batch.mix.lam.tolist())) == 1) == (mode == "batch")


def test_mixing_ends_at_timms_epoch(url):
    arguments = mixing_arguments(options(mixup=0.8, mixup_off_epoch=1))
    chain = loops.plain(url).mixup_or_cutmix(**arguments)
    assert [[bool((batch.mix.lam < 1).any()) for batch in chain] for _ in range(2)] == [[True] * 6, [False] * 6]


def test_only_what_is_drawn_is_mixed(url):
    arguments = mixing_arguments(options(cutmix_minmax=[0.2, 0.8], mixup_mode="pair"))
    for batch in loops.plain(url).mixup_or_cutmix(**arguments):
        heights = batch.mix.boxes[:, 1] - batch.mix.boxes[:, 0]
        assert batch.mix.is_cutmix.all()
        assert 3 <= heights.min() <= heights.max() <= 12  # of 16
