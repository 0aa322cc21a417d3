"""Proves the GPU path in ten minutes: every probe a process of its own, so that a crash is a result like any other.

    python benchmarks/gpu.py                       on a GPU, with photographs that are drawn
    python benchmarks/gpu.py --jpegs '/data/train-*.tar'
    python benchmarks/gpu.py --device cpu          shows that the probes work; its figures mean nothing

Appends a row a probe to --out, JSON lines, and writes a table beside it (.md). Probes run in the order of their
importance. Run again with the same --out, and it goes on after the last probe that ended; --again repeats all of them.
Exit codes: 0 each is "ok" or "needs a GPU"; 1 some are not; 2 wrong arguments; 3 there is no GPU. See docs/gpu.md.
"""

import argparse
import dataclasses
import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
#: Where the probes find what they import: themselves, the tests' pictures, the programs' models, the package.
PATHS = (ROOT / "benchmarks", ROOT / "tests", ROOT / "pipelines", ROOT)
#: The most important first: where it is (module:function), and the seconds that it may take on a GPU.
PROBES = {
    "circumstances": ("decoder:circumstances", 15),
    "survive": ("decoder:survive", 55),
    "position": ("decoder:position", 30),
    "operations": ("pixels:operations", 50),
    "function": ("pixels:function", 40),
    "pairs": ("speed:pairs", 70),
    "resnet50": ("speed:resnet50", 50),
    "waits": ("runtime:waits", 20),
    "streams": ("runtime:streams", 25),
    "held": ("runtime:held", 20),
    "memory": ("runtime:memory", 25),
    "windows": ("decoder:windows", 25),
    "formats": ("decoder:formats", 20),
    "verdicts": ("decoder:verdicts", 25),
    "mixing": ("pixels:mixing", 15),
    "decoding": ("speed:decoding", 20),
    "huffman": ("speed:huffman", 25),
    "policies": ("speed:policies", 40),
}
#: A CPU that others use as well may take longer for a dry run.
CPU_SECONDS = 300
#: With fewer seconds left than this, no probe begins.
SHORTEST = 10
MARK = "FINDING "
FINE = ("ok", "needs a GPU")


def probe(args: argparse.Namespace) -> None:
    """Run a probe in this process and print its finding."""
    from probes.finding import Settings

    module, function = PROBES[args.probe][0].split(":")
    settings = Settings(device=args.device, jpegs=args.jpegs, seconds=args.seconds)
    finding = getattr(importlib.import_module(f"probes.{module}"), function)(settings)
    print(MARK + json.dumps(dataclasses.asdict(finding)))


def run(name: str, args: argparse.Namespace, seconds: float) -> dict[str, object]:
    """The row of a probe, which runs in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--probe", name, "--device", args.device]
    command += ["--seconds", str(seconds), *(["--jpegs", args.jpegs] if args.jpegs else [])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, PATHS))}
    start = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds, env=environment)
    except subprocess.TimeoutExpired:
        finding = {"verdict": "over time", "summary": f"took more than {seconds:.0f} s", "figures": {}}
    else:
        line = next((line for line in done.stdout.splitlines() if line.startswith(MARK)), None)
        if line is not None and done.returncode == 0:
            finding = json.loads(line.removeprefix(MARK))
        else:
            last = (done.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
            text = f"exit code {done.returncode}: {last[:200]}"
            finding = {"verdict": "crashed", "summary": text, "figures": {"stderr": done.stderr[-1500:]}}
    return {"probe": name, "device": args.device, **finding, "seconds": round(time.perf_counter() - start, 1)}


def rows_of(path: Path, device: str) -> dict[str, dict[str, object]]:
    """The last row of each probe that ended on this device."""
    lines = path.read_text().splitlines() if path.exists() else []
    rows = (json.loads(line) for line in lines)
    return {row["probe"]: row for row in rows if row["device"] == device}


def table(rows: dict[str, dict[str, object]], device: str) -> str:
    """A Markdown table of all probes; those that did not run say so."""
    lines = [] if device == "gpu" else ["Dry run on a CPU: the probes work, and their figures mean nothing.", ""]
    lines += ["| probe | verdict | found | seconds |", "|---|---|---|---|"]
    for name in PROBES:
        row = rows.get(name, {"verdict": "left out", "summary": "no time was left; run again to go on", "seconds": ""})
        found = str(row["summary"]).replace("|", "\\|")
        lines.append(f"| {name} | {row['verdict']} | {found} | {row['seconds']} |")
    return "\n".join(lines) + "\n"


def arguments() -> argparse.Namespace:
    """Parse and check the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--jpegs", help="a glob of tars with .jpg members; without it photographs are drawn")
    parser.add_argument("--out", type=Path, default=Path("gpu.jsonl"), help="JSON lines, a row a probe")
    parser.add_argument("--seconds", type=float, help="for all of it (default: 570 on a GPU, no limit on a CPU)")
    parser.add_argument("--only", nargs="+", choices=tuple(PROBES), help="these probes alone")
    parser.add_argument("--again", action="store_true", help="also the probes that have a row in --out")
    parser.add_argument("--probe", choices=tuple(PROBES), help="this one, in this process, and print its finding")
    return parser.parse_args()


def main() -> int:
    """Run the probes that have no row yet; 0 if all are fine."""
    args = arguments()
    if args.device == "gpu" and not torch.cuda.is_available():
        print("gpu.py: a CUDA GPU must be there, torch sees none. Write --device cpu for a dry run.", file=sys.stderr)
        return 3
    if args.probe:
        probe(args)
        return 0
    start, budget = time.perf_counter(), args.seconds or (570.0 if args.device == "gpu" else float("inf"))
    rows = {} if args.again else rows_of(args.out, args.device)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for name in args.only or PROBES:
        if name in rows:
            continue
        left = budget - (time.perf_counter() - start)
        if left < SHORTEST:
            break
        limit = PROBES[name][1] if args.device == "gpu" else CPU_SECONDS
        row = rows[name] = run(name, args, min(limit, left))
        with args.out.open("a") as file:
            print(json.dumps(row), file=file)
        print(f"{name}: {row['verdict']}: {row['summary']} ({row['seconds']} s)", flush=True)
    args.out.with_suffix(".md").write_text(table(rows, args.device))
    print(f"\n{table(rows, args.device)}\nrows in {args.out}, this table in {args.out.with_suffix('.md')}")
    return 0 if all(row["verdict"] in FINE for row in rows.values()) and (args.only or len(rows) == len(PROBES)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
