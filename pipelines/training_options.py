"""The command line of imagenet_train.py."""

import argparse
from argparse import BooleanOptionalAction
from pathlib import Path

from checkpoints import Checkpoints
from launch import argument_parser

AUTO = "auto"


def _data(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data and augmentation")
    group.add_argument("--train", required=True, help="training shards, a path or URL with braces")
    group.add_argument("--val", help="validation shards; evaluated after each epoch")
    group.add_argument("--cache-dir", metavar="FOLDER", help="a folder on a local disk for what is read of a store")
    group.add_argument("--lanes", type=int, default=32, help="a multiple of every number of ranks in use")
    group.add_argument("--repeats", type=int, default=1, help="copies of each sample, each augmented by itself")
    group.add_argument("--min-scale", type=float, default=0.08, help="smallest crop, as a share of the image's area")
    group.add_argument("--antialias", action=BooleanOptionalAction, default=True, help="low-pass what is made smaller")
    group.add_argument("--jitter", type=float, help="strength of brightness, contrast and saturation, 0..1")
    group.add_argument("--policy", choices=("none", "rand", "trivial", "auto"), default="none", help="augmentation")
    group.add_argument("--rand-operations", type=int, default=2, help="operations an image of --policy rand")
    group.add_argument("--rand-magnitude", type=int, default=9, help="strength of --policy rand, 0..30")
    group.add_argument("--erase", type=float, default=0.0, help="chance that a part of an image is erased")
    group.add_argument("--cutout", type=int, metavar="PIXELS", help="side of a square that is erased from each image")
    group.add_argument("--mix", choices=("none", "mixup", "cutmix", "both"), default="both", help="mixing of pairs")
    group.add_argument("--mixup-alpha", type=float, default=0.2, help="Mixup's λ is drawn from Beta(α, α)")
    group.add_argument("--cutmix-alpha", type=float, default=1.0, help="CutMix's λ is drawn from Beta(α, α)")
    group.add_argument("--mix-probability", type=float, default=1.0, help="chance that a pair is mixed")
    group.add_argument("--switch-probability", type=float, default=0.5, help="share of CutMix in --mix both")
    group.add_argument("--mix-off-epoch", type=int, metavar="EPOCH", help="the first epoch without mixing, from 0")
    group.add_argument("--label-smoothing", type=float, default=0.1, help="ε of the targets, 0..1")
    group.add_argument(
        "--progressive", type=int, metavar="SIZE", help="size of the first epoch's images, grows to --size"
    )


def _optimization(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("optimization")
    group.add_argument("--epochs", type=int, default=90)
    group.add_argument("--optimizer", choices=("sgd", "adamw"), default="sgd", help="SGD with Nesterov's 0.9, or AdamW")
    group.add_argument("--lr", type=float, default=0.1, help="peak learning rate, for the batch of all ranks together")
    group.add_argument("--min-lr", type=float, default=0.0, help="learning rate at the end of the cosine")
    group.add_argument("--warmup-epochs", type=float, help="epochs of linear warm-up (default: a tenth of --epochs)")
    group.add_argument("--weight-decay", type=float, default=5e-5, help="of weights; biases and norms have none")
    group.add_argument("--accumulate", type=int, default=1, help="batches an update")
    group.add_argument("--clip-norm", type=float, help="largest norm of the gradient of an update")
    group.add_argument("--ema", type=float, metavar="DECAY", help="keep and evaluate a moving average of the weights")
    group.add_argument("--seed", type=int, default=0, help="of weights, order, augmentation and mixing")


def _speed(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("speed")
    group.add_argument("--bf16", action="store_true", help="autocast to bfloat16; weights stay float32")
    group.add_argument("--channels-last", action="store_true", help="NHWC in memory, which convolutions want on GPUs")
    group.add_argument(
        "--compile",
        nargs="?",
        const="inductor",
        metavar="BACKEND",
        help="torch.compile, once for each image size; inductor where no backend is named",
    )


def _running(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("a run of weeks")
    group.add_argument("--checkpoint", type=Path, default=Path("checkpoint.pt"), help="the newest one")
    group.add_argument("--keep", type=int, default=3, help="checkpoints that are kept: run.pt, run.1.pt, …")
    group.add_argument(
        "--resume",
        nargs="?",
        const=AUTO,
        metavar="auto|FILE",
        help="auto (or nothing): go on from the newest whole checkpoint, begin where there is none; or from that file",
    )
    group.add_argument("--save-every", type=int, default=0, help="updates between checkpoints; 0: once an epoch")
    group.add_argument("--print-every", type=int, default=20, help="updates between two lines of progress")
    group.add_argument("--log-file", type=Path, help="append JSON lines to this file, see training_log.py")
    group.add_argument("--log-batches", type=Path, help="a folder for digests of every batch, see batch_log.py")


def arguments(description: str | None) -> argparse.Namespace:
    """Parse and check the command line."""
    parser = argument_parser(description)
    for add in (_data, _optimization, _speed, _running):
        add(parser)
    args = parser.parse_args()
    if args.warmup_epochs is None:
        args.warmup_epochs = args.epochs / 10
    for name in ("epochs", "accumulate", "keep", "print_every", "repeats"):
        if getattr(args, name) < 1:
            parser.error(f"--{name.replace('_', '-')}: must be at least 1, got {getattr(args, name)}. Write 1.")
    if not 0 <= args.warmup_epochs < args.epochs:
        parser.error(f"--warmup-epochs: must be below --epochs, got {args.warmup_epochs}. Write {args.epochs / 10:g}.")
    if args.ema is not None and not 0 < args.ema < 1:
        parser.error(f"--ema: must lie between 0 and 1, got {args.ema}. Write 0.9999.")
    if args.progressive is not None and not 0 < args.progressive <= args.size:
        parser.error(f"--progressive: must not exceed --size, got {args.progressive}. Write {max(args.size // 2, 1)}.")
    if args.resume is None and (existing := Checkpoints(args.checkpoint).existing()):
        parser.error(f"--checkpoint: {existing[0]} exists. Pass --resume to go on, or name another file.")
    if args.resume not in (None, AUTO) and not Path(args.resume).is_file():
        parser.error(f"--resume: must be auto or a checkpoint, got {args.resume}. Write --resume auto.")
    return args
