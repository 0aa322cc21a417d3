"""The README's table of speeds, made of the JSON files in benchmarks/results.

In: the existing results. Out: the rows between the two markers in README.md, with images/s beside every ratio. A
missing result has no row. `--check` changes nothing, and ends with 1 where the README says something else.

    python benchmarks/table.py
    python benchmarks/table.py --check
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

RESULTS = Path(__file__).resolve().parent / "results"
README = RESULTS.parents[1] / "README.md"
BEGIN, END = "<!-- speed: written by benchmarks/table.py -->", "<!-- end of speed -->"
Result = Mapping[str, Any]


class Row(NamedTuple):
    """A line of the table: the comparison, images/s of both sides, and their ratio with its interval."""

    question: str
    speeds: str
    ratio: str


def speed(values: "Sequence[float] | float") -> str:
    """The median of images/s, in whole images."""
    return f"{statistics.median(values) if isinstance(values, list) else values:,.0f}"


def times(interval: "Result | Sequence[float]") -> str:
    """A ratio with its interval, from a mapping or from [median, low, high, confidence]."""
    median, low, high = (
        (interval[name] for name in ("median", "low", "high")) if isinstance(interval, Mapping) else interval[:3]
    )
    digits = 1 if median >= 3 else 2
    return f"{median:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def pair(result: Result, name: str, peer: str, question: str) -> Row:
    """A row of a result that has ratios by the clock and by CPU time."""
    rows, both = result["images_per_second"], result["ratios"][f"{name} / {peer}"]
    ratio = f"{times(both['clock'])}; by CPU time {times(both['cpu'])}"
    return Row(question, f"{speed(rows[name])} / {speed(rows[peer])}", ratio)


def loader(result: Result) -> Iterator[Row]:
    """imagenet_train against plain DALI."""
    epochs = f"epochs of {result['images']:,} images"
    yield pair(result, "streamaug", "DALI", f"`imagenet_train` / plain DALI, {epochs}")
    yield pair(result, "streamaug, no antialias", "DALI", "the same with `antialias=False` (one warp) / plain DALI")


#: Programs of benchmarks/peers, by their names in the table.
PROGRAMS = {
    "dali_operators": "DALI's operators one by one",
    "torchvision_v2": "torchvision v2",
    "torchvision_pillow": "torchvision with Pillow",
    "timm_transforms": "timm",
    "albumentations_cv2": "albumentationsx with cv2",
    "spdl_threads": "SPDL",
}


#: The recipes of benchmarks/augment.py, likewise.
RECIPES = {"crop_flip": "crop and flip", "heavy": "heavy recipe", "trivial_augment": "TrivialAugmentWide"}


def augment(result: Result) -> Iterator[Row]:
    """A recipe against those of the other loaders: each of ours beside each peer."""
    rows, fastest = result["images_per_second"], result["fastest"]
    peers = [name for name in fastest if name in PROGRAMS]
    peers.sort(key=lambda name: -statistics.median(rows[fastest[name]]))
    for ours in (name for name in fastest if name not in PROGRAMS):
        recipe = RECIPES[result["recipe"]] + ours.removeprefix("streamaug")
        names = "; ".join(PROGRAMS[name] for name in peers)
        speeds = "; ".join(speed(rows[fastest[name]]) for name in peers)
        ratios = "; ".join(times(result["ratios"][f"{ours} / {name}"]) for name in peers)
        yield Row(f"{recipe} / {names}", f"{speed(rows[fastest[ours]])} / {speeds}", ratios)


def storage(result: Result) -> Iterator[Row]:
    """S3 and the disk cache against the disk."""
    speeds = {name: [one["images_per_second"] for one in rows] for name, rows in result["runs"].items()}
    questions = {
        "S3": "from S3 (SeaweedFS on the same cores) / from the disk",
        "S3, cached": "second epoch from the disk cache / from the disk",
    }
    for name, question in questions.items():
        both = result["over_local"][name]
        ratio = f"{times(both['clock'])}; by our own CPU time {times(both['cpu'])}"
        yield Row(question, f"{speed(speeds[name])} / {speed(speeds['local'])}", ratio)


def storage_peers(result: Result) -> Iterator[Row]:
    """Encoded images out of S3, ours and each peer."""
    names = {"mosaicml": "mosaicml-streaming", "dali": "DALI's own reader", "energon": "Megatron-Energon"}
    loaders = result["loaders"]
    parts = {
        "images_per_second": "a whole epoch",
        "from_first_batch_on": "from the first batch on",
        "second_epoch": "the second epoch, kept on the disk",
    }
    for part, words in parts.items():
        peers = {name: one[part]["median"] for name, one in loaders.items() if part in one}
        ours = peers.pop("streamaug", None)
        if ours is None:  # a file from before this was measured
            continue
        listed = sorted(peers, key=lambda name: -peers[name])
        yield Row(
            f"encoded images out of S3, {words} / {'; '.join(names.get(name, name) for name in listed)}",
            f"{speed(ours)} / {'; '.join(speed(peers[name]) for name in listed)}",
            "; ".join(f"{ours / peers[name]:.2f}" for name in listed) + " (of medians)",
        )


def mixing(result: Result) -> Iterator[Row]:
    """Mixup and CutMix of a batch."""
    settings = result["settings"]
    batch = f"batch of {settings['batch_size']}, {settings['size']}², {settings['dtype']}"
    for kind, title in (("mixup", "Mixup"), ("cutmix", "CutMix")):
        for library in ("torchvision", "timm"):
            ours, peer = f"streamaug {kind}, pair", f"{library} {kind}, batch"
            if peer in result["images_per_second"]:
                yield pair(result, ours, peer, f"{title} / {library}, {batch}")


def tta(result: Result) -> Iterator[Row]:
    """Ten crops from one decode."""
    yield pair(result, "one decode", "ten decodes", "ten crops of an image: one decode / a loop of ten")


def order(result: Result) -> Iterator[Row]:
    """The arithmetic of the order."""
    if "cost" in result:  # of many jobs: the largest
        largest = max(result["cost"], key=lambda row: (row["job"]["samples"], row["job"]["ranks"]))
        samples, ranks = largest["job"]["samples"], largest["job"]["ranks"]
        batch, held = largest["batch_ms"], largest["held_mb"]
    else:
        samples, ranks = result["samples"], result["settings"]["ranks"]
        batch, held = result["batch_ms"]["median"], result["held_mb"]
    question = f"the order of a batch, {samples:,} samples on {ranks:,} ranks"
    yield Row(question, "–", f"{batch:.2f} ms, {held:.0f} MB held")


def host_cost(result: Result) -> Iterator[Row]:
    """The training thread's own time in `next()`."""
    for name, case in result["cases"].items():
        if "DALI" in case:
            ours, peer = case["streamaug"]["ms"], case["DALI"]["ms"]
            ratio = f"{times(ours)} / {times(peer)} ms a batch"
            yield Row(f"the training thread's own time in `next()`, {name} / plain DALI", "–", ratio)


ROWS: dict[str, Callable[[Result], Iterator[Row]]] = {
    "loader": loader,
    "augment-crop_flip": augment,
    "augment-heavy": augment,
    "augment-trivial_augment": augment,
    "storage": storage,
    "storage_peers": storage_peers,
    "mixing": mixing,
    "tta": tta,
    "host_cost": host_cost,
    "order": order,
}


def table(results: Path = RESULTS) -> str:
    """The table, in Markdown: a row for each comparison, with the file that has its command and every round."""
    lines = ["| question | images/s | ratio | measured, load average |", "|---|---|---|---|"]
    for name, rows in ROWS.items():
        path = results / f"{name}.json"
        if not path.exists():
            continue
        result = json.loads(path.read_text())
        load = result["machine"]["load_average"][0]
        where = f"[{name}](benchmarks/results/{name}.json), {result['date'][:10]}, {load:.1f}"
        lines += [f"| {row.question} | {row.speeds} | {row.ratio} | {where} |" for row in rows(result)]
    return "\n".join(lines)


def replaced(readme: str, results: Path = RESULTS) -> str:
    """A README with the table of the results between its markers.

    Raises:
        ValueError: If it does not have the two markers, one behind the other.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"README.md: must have the lines {BEGIN!r} and {END!r}, got none. Put them around the table.")
    return f"{before}{BEGIN}\n\n{table(results)}\n\n{END}{after}"


def main() -> int:
    """Write the table into README.md, or check that it is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; 1 where the README differs")
    arguments = parser.parse_args()
    readme = README.read_text()
    wanted = replaced(readme)
    if not arguments.check:
        README.write_text(wanted)
    elif wanted != readme:
        print("README.md: must say what benchmarks/results says, got another table. Run python benchmarks/table.py.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
