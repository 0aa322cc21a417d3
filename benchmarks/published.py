"""Errors on ImageNet as papers published them, each with the command line of pipelines/imagenet_train.py for it.

We measured none of these numbers. Our learning rate follows a cosine, where the papers divide by ten at some epochs.
Mixup: Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018, table 1: eight GPUs, 1,024 images a step,
warm-up of 5 epochs to 0.4. CutMix, and Cutout and Mixup beside it: Yun et al., "CutMix", ICCV 2019, tables 3 and 4:
256 images a step, 300 epochs, Mixup with α = 1, Cutout with a square of 112 pixels.
"""

from dataclasses import dataclass

_PROGRAM = "torchrun --nproc-per-node 8 pipelines/imagenet_train.py"
_DATA = "--train '/data/train-{000000..001281}.tar' --val '/data/val-{000000..000063}.tar' --resume auto"
_COMMON = "--weight-decay 1e-4 --label-smoothing 0 --bf16 --channels-last"
_MIXUP_PAPER = "--batch-size 128 --lr 0.4 --warmup-epochs 5"
_CUTMIX_PAPER = "--batch-size 32 --lr 0.1 --warmup-epochs 0"


@dataclass(frozen=True)
class Published:
    """An error that a paper names.

    Attributes:
        paper: The paper of the number.
        network: Its name in the paper.
        model: Its name in timm.
        method: The augmentation of the images.
        epochs: Of the training.
        error: Top-1 error on ImageNet's validation images, percent.
        options: Of the method, for the command line.
    """

    paper: str
    network: str
    model: str
    method: str
    epochs: int
    error: float
    options: str

    @property
    def command(self) -> str:
        """The command line for eight GPUs."""
        setting = _MIXUP_PAPER if self.paper == "Mixup" else _CUTMIX_PAPER
        flags = f"--model {self.model} --epochs {self.epochs} {self.options} {setting} {_COMMON}"
        return f"{_PROGRAM} {_DATA} {flags}"


_R50, _R101, _X101 = ("R50", "resnet50"), ("R101", "resnet101"), ("X101 32×4d", "resnext101_32x4d")
_NONE = "--mix none"
_CUTMIX = "--mix cutmix --cutmix-alpha 1"


def _mixup(alpha: str) -> str:
    return f"--mix mixup --mixup-alpha {alpha}"


ROWS = (
    Published("Mixup", *_R50, "crop and flip", 90, 23.5, _NONE),
    Published("Mixup", *_R50, "Mixup α=0.2", 90, 23.3, _mixup("0.2")),
    Published("Mixup", *_R50, "crop and flip", 200, 23.6, _NONE),
    Published("Mixup", *_R50, "Mixup α=0.2", 200, 22.1, _mixup("0.2")),
    Published("Mixup", *_R101, "crop and flip", 200, 22.0, _NONE),
    Published("Mixup", *_R101, "Mixup α=0.2", 200, 20.8, _mixup("0.2")),
    Published("Mixup", *_X101, "crop and flip", 200, 21.3, _NONE),
    Published("Mixup", *_X101, "Mixup α=0.4", 200, 20.1, _mixup("0.4")),
    Published("CutMix", *_R50, "crop and flip", 300, 23.68, _NONE),
    Published("CutMix", *_R50, "Cutout", 300, 22.93, f"{_NONE} --cutout 112"),
    Published("CutMix", *_R50, "Mixup α=1", 300, 22.58, _mixup("1")),
    Published("CutMix", *_R50, "CutMix α=1", 300, 21.40, _CUTMIX),
    Published("CutMix", *_R101, "crop and flip", 300, 21.87, _NONE),
    Published("CutMix", *_R101, "CutMix α=1", 300, 20.17, _CUTMIX),
    Published("CutMix", *_X101, "crop and flip", 300, 21.18, _NONE),
    Published("CutMix", *_X101, "CutMix α=1", 300, 19.47, _CUTMIX),
)
