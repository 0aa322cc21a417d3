"""Images/s from JPEG bytes to normalised 224² tensors, against other loaders, on the same shards.

In: shards (default: the real images beside the checkout, about 2,000) and the peers' environments, since they need
other versions than this project:

    python benchmarks/peers/environments.py build/peers        # SPDL needs FFmpeg's libraries as well
    python benchmarks/augment.py --peers build/peers --recipe crop_flip heavy trivial_augment

Out: a table, and benchmarks/results/augment-<recipe>.json. Every peer is a process of its own, and so is streamaug.
Each runs with as many workers or threads as cores, and with one more; the faster of the two counts. Rounds are
interleaved, ratios taken within a round. A peer that does not start is left out by name.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness import interleaved, ratio, save
from loader import REAL, drawn_shards, real_shards
from webdataset.shardlists import expand_urls

from streamaug.cli import main as streamaug

PEERS = Path(__file__).resolve().parent / "peers"
sys.path.insert(0, str(PEERS))

from environments import python_of  # noqa: E402 - it lies beside the peers' programs

#: The peer's environment of each program.
ENVIRONMENTS = {
    "torchvision_pillow": "torchvision",
    "torchvision_v2": "torchvision",
    "timm_transforms": "timm",
    "albumentations_cv2": "albumentationsx",
    "spdl_threads": "spdl",
}
#: For each recipe: ours, and {peer: whether it runs in the peers' environment}.
RECIPES = {
    "crop_flip": (
        {"streamaug": "crop_flip", "streamaug, antialias=False": "crop_flip_one_warp"},
        [
            "dali_operators",
            "torchvision_pillow",
            "timm_transforms",
            "torchvision_v2",
            "albumentations_cv2",
            "spdl_threads",
        ],
    ),
    "heavy": ({"streamaug": "heavy"}, ["dali_operators", "torchvision_v2", "albumentations_cv2"]),
    "trivial_augment": (
        {"streamaug": "trivial_augment", "streamaug, antialias=False": "trivial_augment_one_warp"},
        ["dali_operators", "torchvision_v2"],
    ),
}


class Peer:
    """A peer's process: a line asks for an epoch, and a line answers."""

    def __init__(self, python: str, program: str, recipe: str, threads: int, shards: list[str]) -> None:
        command = [python, "-W", "ignore", str(PEERS / f"{program}.py"), recipe, str(threads), *shards]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - a full pipe would stop a peer
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        self.about = str(self._answer()["about"])

    def epoch(self) -> int:
        """One epoch; its number of images."""
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return int(self._answer()["images"])

    def _answer(self) -> dict[str, object]:
        line = self._process.stdout.readline()
        if not line.startswith("{"):
            self.close()
            self._errors.seek(0)
            reason = self._errors.read().strip().splitlines()[-1:] or [line]
            raise RuntimeError(f"the peer ended: {reason[0]}")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def compare(recipe: str, environments: Path | None, shards: list[str], cores: int, rounds: int) -> None:
    """Run all, print the ratios and write them down."""
    ours, others = RECIPES[recipe]
    programs = {name: (sys.executable, "ours", own) for name, own in ours.items()}
    for program in others:
        environment = ENVIRONMENTS.get(program)
        interpreter = sys.executable if environment is None else python_of(environments, environment)
        if interpreter is None:
            print(f"left out: {program}, for want of an environment {environment!r} in --peers")
        else:
            programs[program] = (interpreter, program, recipe)
    peers: dict[tuple[str, int], Peer] = {}
    for name, (interpreter, program, own) in programs.items():
        for workers in (cores, cores + 1):
            try:
                peers[name, workers] = Peer(interpreter, program, own, workers, shards)
            except RuntimeError as error:
                if name in ours:
                    raise
                print(f"left out: {name} with {workers}, {error}")
    try:
        works: dict[str, Callable[[], int]] = {title(*key): peer.epoch for key, peer in peers.items()}
        samples = interleaved(works, rounds)
    finally:
        for peer in peers.values():
            peer.close()
    speeds = {name: statistics.median(one.images_per_second for one in rows) for name, rows in samples.items()}
    best: dict[str, str] = {}
    for name, workers in peers:
        best[name] = max(best.get(name, title(name, workers)), title(name, workers), key=lambda each: speeds[each])
    ratios = {}
    for name in ours:
        for peer in (each for each in best if each not in ours):
            ratios[f"{name} / {peer}"] = clock = ratio(samples, best[name], best[peer])[0]
            one, other = f"{best[name]} {speeds[best[name]]:.0f}", f"{best[peer]} {speeds[best[peer]]:.0f}"
            print(f"{recipe}: {one}, {other} images/s, ratio {clock}")
    result = {
        "recipe": recipe,
        "cores": cores,
        "rounds": rounds,
        "about": {title(*key): peer.about for key, peer in peers.items()},
        "fastest": best,
        "images_per_second": {name: [one.images_per_second for one in rows] for name, rows in samples.items()},
        "ratios": {name: [one.median, one.low, one.high, one.confidence] for name, one in ratios.items()},
    }
    print(f"wrote {save(f'augment-{recipe}', result)}")


def title(name: str, workers: int) -> str:
    """A program with a number of workers or threads."""
    return f"{name} ({workers})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", nargs="+", choices=tuple(RECIPES), default=list(RECIPES))
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments, or one environment for all")
    parser.add_argument("--shards", nargs="+", help="local tars with .idx files beside them")
    parser.add_argument("--images", type=int, default=2000, help="images of the default shards")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shards = args.shards
        if shards is None:
            pattern = (real_shards if REAL.exists() else drawn_shards)(Path(folder), args.images)
            streamaug(["index", pattern])
            shards = list(expand_urls(pattern))
        for recipe in args.recipe:
            compare(recipe, args.peers, shards, args.cores, args.rounds)


if __name__ == "__main__":
    main()
