"""Mixup and CutMix: a plan is drawn first and can be inspected, then one pass over the pixels applies it.

settings (checked parameters), schedules → plan (partners, λ, boxes) → pixels (blend_cpu | blend_gpu), targets →
mixer (a batch) → scoring (loss and accuracy). Other entries: collating (torch's DataLoader), zipped (two chains).
"""

from streamaug.batch import SparseTargets
from streamaug.mix.collating import collate
from streamaug.mix.mixer import apply
from streamaug.mix.pixels import cutmix, mixup
from streamaug.mix.plan import MixPlan, beta, cutmix_box, partners
from streamaug.mix.schedules import off_from, ramp
from streamaug.mix.scoring import accuracy, soft_target_cross_entropy
from streamaug.mix.targets import mix_targets
from streamaug.mix.zipped import zip_mixup

__all__ = [
    "MixPlan",
    "SparseTargets",
    "accuracy",
    "apply",
    "beta",
    "collate",
    "cutmix",
    "cutmix_box",
    "mix_targets",
    "mixup",
    "off_from",
    "partners",
    "ramp",
    "soft_target_cross_entropy",
    "zip_mixup",
]
