"""Mixup and CutMix as a plan, drawn first and open to look at, and one pass over the pixels that carries it out."""

from streamaug.batch import SparseTargets
from streamaug.mix.mixer import Mixer, MixSettings, apply
from streamaug.mix.pixels import cutmix, mixup
from streamaug.mix.plan import MixPlan, beta, cutmix_box, partners
from streamaug.mix.targets import mix_targets, soft_target_cross_entropy

__all__ = [
    "MixPlan",
    "MixSettings",
    "Mixer",
    "SparseTargets",
    "apply",
    "beta",
    "cutmix",
    "cutmix_box",
    "mix_targets",
    "mixup",
    "partners",
    "soft_target_cross_entropy",
]
