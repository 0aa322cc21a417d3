"""Pixels of operations beside those of torchvision and timm: differences in gray levels, and of tables.

In: a virtual environment of the peers' own, since they need other versions than this project does:

    python3 -m venv build/operations && build/operations/bin/pip install torch torchvision timm
    python benchmarks/operation_peers.py --peers build/operations/bin/python

Out: a table, and benchmarks/results/operation_peers.json. Both sides get the same 96 drawn pictures as PNGs, and the
same random numbers; their results are compared pixel by pixel. It takes no times.
"""

import argparse
import io
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from harness import save
from PIL import Image

import streamaug as sa
from streamaug import ops
from streamaug.ops import timm_steps
from streamaug.ops.policy_steps import SIGNED, Step
from streamaug.ops.sub_policies import SUB_POLICIES
from streamaug.random import Stream, uniform

SIZE, COUNT, SEED = (96, 128), 96, 5
PADDING, WINDOW, BOX = 8, (80, 100), (160, 160)
COLOR = (124, 116, 104)
#: Ours, by the name that the peers' program computes its own under.
OPERATIONS = {
    "pad constant": ops.Pad(amount=(3, 5, 7, 2), fill=COLOR),
    "pad replicate": ops.Pad(amount=(3, 5, 7, 2), border="replicate"),
    "pad reflect": ops.Pad(amount=(3, 5, 7, 2), border="reflect"),
    "pad reflect_101": ops.Pad(amount=(3, 5, 7, 2), border="reflect_101"),
    "random crop": ops.RandomCrop(WINDOW, padding=PADDING, fill=COLOR),
    "letterbox larger": ops.Letterbox(BOX, fill=COLOR),
    "letterbox smaller": ops.Letterbox((48, 48), fill=COLOR),
    "rotate": ops.Rotate(degrees=(30, 30), fill=COLOR),
    "sharpen 0": ops.Sharpen(factor=0.0),
    "sharpen 2": ops.Sharpen(factor=2.0),
    "auto contrast": ops.AutoContrast(),
    "invert": ops.Invert(),
    "gamma 0.5": ops.Gamma(gamma=0.5),
    "gamma 2": ops.Gamma(gamma=2.0),
    "equalize": ops.Equalize(),
    "posterize": ops.Posterize(bits=3),
    "solarize": ops.Solarize(threshold=100),
}
_LEVEL = 9.0
TIMM = ops.RandAugment(n=1, magnitude=_LEVEL, inc=True, tables="timm", fill=COLOR)
_LEVELS = sa.Output(dtype="uint8")
_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def pictures() -> np.ndarray:
    """uint8 (COUNT, H, W, 3), smooth with a little texture; channels do not use their whole range."""
    rng = np.random.default_rng(0)
    out = []
    for _ in range(COUNT):
        small = rng.integers(20, 230, (*rng.integers(3, 12, 2), 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(small).resize(SIZE[::-1], Image.Resampling.BICUBIC), np.int16)
        out.append(np.clip(smooth + rng.integers(-8, 9, smooth.shape), 0, 255).astype(np.uint8))
    return np.stack(out)


def shard(folder: Path, images: np.ndarray) -> str:
    path = folder / "drawn-000000.tar"
    with tarfile.open(path, "w") as tar:
        for number, image in enumerate(images):
            file = io.BytesIO()
            Image.fromarray(image).save(file, "PNG")
            for suffix, data in (("png", file.getvalue()), ("cls", b"0")):
                info = tarfile.TarInfo(f"{number:05d}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return str(path)


def ours(url: str, *operations: ops.Operation, output: sa.Output = _LEVELS) -> np.ndarray:
    """(COUNT, H, W, 3): the results of operations on the pictures."""
    first = [] if isinstance(operations[0], ops.Letterbox) else [ops.Resize(SIZE)]
    reader = sa.ShardReader(sa.ShardSet.open(url), batch_size=COUNT, seed=SEED, shuffle=False, tail="pad")
    (batch,) = reader.augment(sa.Recipe([*first, *operations], output=output), device="cpu")
    return batch.images.permute(0, 2, 3, 1).numpy()


def draws(operation: ops.Operation) -> np.ndarray:
    """The random numbers of the operation as the second of its recipe."""
    numbers = uniform(SEED, 0, np.arange(COUNT), stream=Stream.OPERATIONS + 1, n=operation.draws + 1)
    return numbers[:, 1:]


def inputs(images: np.ndarray) -> dict[str, np.ndarray]:
    """The inputs of the peers: the pictures, and the random numbers."""
    extent = np.full(COUNT, float(SIZE[0])), np.full(COUNT, float(SIZE[1]))
    crop = OPERATIONS["random crop"]
    shift = crop.matrix(draws(crop), *extent)[:, [1, 0], 2]
    steps, amounts = TIMM.choose(draws(TIMM), *extent)
    return {"images": images, "crop": (PADDING - shift).astype(int), "steps": steps[:, 0], "amounts": amounts[:, 0]}


def distance(one: np.ndarray, other: np.ndarray, edge: int = 0) -> dict[str, float]:
    """Gray levels between two stacks of images, without `edge` pixels of their rim."""
    inside = np.s_[:, edge : one.shape[1] - edge, edge : one.shape[2] - edge]
    gap = np.abs(one[inside].astype(float) - other[inside].astype(float))
    shares = {"mean": gap.mean(), "largest": gap.max(), "share above 2": (gap > 2).mean()}
    return {name: round(float(value), 5) for name, value in shares.items()}


def tables() -> dict[str, object]:
    """Our tables in plain types, as the peers' program writes its own."""
    names = ["".join(part.capitalize() for part in step.name.split("_")) for step in Step]
    policies = {
        data: [[[names[step], chance, strength] for step, chance, strength in pair] for pair in pairs]
        for data, pairs in SUB_POLICIES.items()
    }
    levels = np.arange(0.0, 10.1, 0.5)
    strengths = {}
    for increasing in (False, True):
        for step in timm_steps.FIFTEEN.tolist():
            steps = np.full((len(levels), 1), step)
            found = timm_steps.amounts(steps, levels[:, None], np.ones(steps.shape), increasing=increasing)[:, 0]
            enhances = Step.BRIGHTNESS <= step <= Step.SHARPNESS
            strengths[f"{names[step]} {increasing}"] = np.abs(found) + enhances if increasing else found + enhances
    rounded = {name: [round(float(value), 9) for value in values] for name, values in strengths.items()}
    return {"policies": policies, "strengths": rounded, "signed": [names[step] for step in Step if SIGNED[step]]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", required=True, help="the interpreter of the peers' virtual environment")
    interpreter = parser.parse_args().peers
    images = pictures()
    with tempfile.TemporaryDirectory() as folder:
        url = shard(Path(folder), images)
        told, answer = Path(folder) / "told.npz", Path(folder) / "answer.npz"
        np.savez(told, **inputs(images))
        program = Path(__file__).resolve().parent / "peers" / "operations_of_peers.py"
        command = [interpreter, "-W", "ignore", str(program), str(told), str(answer)]
        about = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        theirs = dict(np.load(answer))
        rows = {}
        for name, operation in OPERATIONS.items():
            got = ours(url, operation)
            rows[f"torchvision: {name}"] = distance(got, theirs[name], edge=1 if "sharpen" in name else 0)
        mixed = ours(url, TIMM)
        for step in sorted(set(inputs(images)["steps"].tolist()) - {Step.IDENTITY}):
            chosen = inputs(images)["steps"] == step
            compared = distance(mixed[chosen], theirs["timm"][chosen], edge=1 if step == Step.SHARPNESS else 0)
            rows[f"timm: RandAugment, {Step(step).name.lower()}"] = {**compared, "images": int(chosen.sum())}
        erase = ops.Erase(area=1.0, fill="normal", probability=1.0)
        noise = ours(url, erase, output=sa.Output(mean=_MEAN, std=_STD))
        erased = {"ours": noise, "timm": theirs["erased"]}
        moments = {
            side: [round(float(values.mean()), 3), round(float(values.std()), 3)] for side, values in erased.items()
        }
    mine = json.loads(json.dumps(tables()))
    equal = {
        "AutoAugment, torchvision's tables": mine["policies"] == about["policies"],
        "RandAugment, timm's strengths": mine["strengths"] == about["strengths"],
    }
    for name, row in rows.items():
        print(f"{name:42s} mean {row['mean']:8.4f}  largest {row['largest']:5.1f}  above 2: {row['share above 2']:.3%}")
    for name, agree in equal.items():
        print(f"{name:42s} {'equal' if agree else 'DIFFERENT'}")
    print("erasing with normal noise, mean and deviation:", moments)
    result = {"peers": about["versions"], "gray_levels": rows, "tables": equal, "erased": moments}
    print(save("operation_peers", result))


if __name__ == "__main__":
    main()
