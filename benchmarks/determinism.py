"""The batches of a killed training after its resume, by loader: the same protocol for each, set up as documented.

In: 500 real images at 64² (default: those beside the checkout), and environments of the peers' own, made by

    python benchmarks/peers/environments.py build/peers grain litdata megatron-energon mosaicml-streaming
    python benchmarks/determinism.py --peers build/peers

One epoch of global batches of 48 rows. A training on 2 ranks runs without a break. Another one saves after half of
the epoch, goes on for one batch, and each of its ranks is killed; 3 ranks go on from what the 2 had saved, and 2 ranks
do. Rows are compared with those of the unbroken run: the sample of each row of a global batch, its pixels before
mixing, its mixed target; and the numbers of rows of the epoch that were lost, or came twice. Then it is killed at 10%
and at 90%, and the seconds from the loader's construction to the first batch are taken. Each rank is a process. A peer
that does not run is "not run", with the reason. Out: benchmarks/results/determinism.json; `--table` writes the table of
docs/determinism.md.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from determinism_rows import GLOBAL_BATCH, compare, rows, seconds
from determinism_table import BEGIN, END, PAGES, table
from determinism_trial import PROGRAMS, NotRunError, Peer, Trial, shards

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "determinism.json"

PEERS = (
    Peer("streamaug", "ours", None, "streamaug", "the global batch, an even batch on each rank"),
    Peer("DALI", "dali_webdataset", None, "nvidia-dali-cuda120", "ranks, batch, graph"),
    Peer("mosaicml-streaming", "mosaicml_streaming", "mosaicml-streaming", "mosaicml-streaming", "the global batch"),
    Peer("litdata", "litdata_stream", "litdata", "litdata", "ranks (its README: the global batch)"),
    Peer(
        "Megatron-Energon",
        "energon_loader",
        "megatron-energon",
        "megatron-energon",
        "micro-batch, number of all workers",
    ),
    Peer("grain", "grain_elastic", "grain", "grain", "the global batch"),
    Peer("torchdata", "stateful_dataloader", None, "torchdata", "ranks, batch, workers"),
    Peer("webdataset", "webdataset_pipe", None, "webdataset", "no state"),
)
NEEDS = {peer.name: peer.needs for peer in PEERS}


def try_peer(trial: Trial, rounds: int, together: int) -> dict[str, Any]:
    """The whole protocol for one loader, with several lives at once where none waits for another."""
    steps = trial.steps
    half, shares = steps // 2, {"10%": max(1, steps // 10), "90%": steps * 9 // 10}
    out: dict[str, Any] = {"version": version(trial.python, trial.peer.package)}
    with ThreadPoolExecutor(together) as pool:
        try:
            trial.prepare()
            whole, stopped = pool.submit(trial.live, "unbroken", 2), pool.submit(trial.live, "half", 2, save_at=half)
            earlier = {share: pool.submit(trial.live, share, 2, save_at=at) for share, at in shares.items()}
            unbroken, killed = rows(whole.result()), stopped.result()
        except NotRunError as error:
            return out | {"not_run": str(error)}
        out["rows_an_epoch"] = sum(map(len, unbroken))
        out["rows_before_as_unbroken"] = rows(killed)[:half] == unbroken[:half]
        resumed = {ranks: pool.submit(trial.live, f"on{ranks}", ranks, before=killed) for ranks in (3, 2)}
        for ranks, life in resumed.items():
            try:
                out[f"on_{ranks}"] = compare(unbroken, rows(killed), rows(life.result()), half)
            except NotRunError as error:
                out[f"on_{ranks}"] = {"refused": str(error)}
        ranks = 2 if "refused" in out["on_3"] else 3
        out["resume"] = {"ranks": ranks}
        for share, life in earlier.items():
            try:
                names = [f"{share}-{number}" for number in range(rounds)]
                goes_on = [pool.submit(trial.live, name, ranks, before=life.result()) for name in names]
                taken = [seconds(one.result()) for one in goes_on]
                out["resume"][share] = {name: statistics.median(one[name] for one in taken) for name in taken[0]}
            except (NotRunError, ValueError) as error:
                out["resume"][share] = {"refused": str(error)}
    return out


def version(python: str, package: str) -> str:
    """The installed version of a package."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "?"


def main() -> int:
    """Run the protocol on every loader, or write the table again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "imagenet-sample")
    parser.add_argument("--peers", type=Path, help="the folder of environments.py; peers without one are not run")
    parser.add_argument("--only", nargs="+", help="programs of benchmarks/peers/resuming; the others keep their result")
    parser.add_argument("--rounds", type=int, default=3, help="resumes that are timed")
    parser.add_argument("--together", type=int, default=1, help="lives of a loader that run at once; CPU seconds stay")
    parser.add_argument("--table", action="store_true", help="write the table from the result, and run nothing")
    parser.add_argument("--keep", type=Path, help="a folder for what the processes wrote; else it is deleted")
    arguments = parser.parse_args()
    if not arguments.table:
        with tempfile.TemporaryDirectory() as folder:
            measure(arguments, arguments.keep or Path(folder))
    written = table(json.loads(RESULT.read_text()), NEEDS)
    for page in PAGES:
        head, _, rest = page.read_text().partition(BEGIN)
        page.write_text(f"{head}{BEGIN}\n{written}{END}{rest.partition(END)[2]}")
    return 0


def measure(arguments: argparse.Namespace, scratch: Path) -> None:
    """Run the loaders, one after the other, and keep their results."""
    sys.path.insert(0, str(PROGRAMS.parent))
    from environments import python_of
    from harness import save

    (tars := scratch / "tars").mkdir(parents=True)
    steps = shards(arguments.data, tars) // GLOBAL_BATCH
    for peer in PEERS:
        if arguments.only and peer.program not in arguments.only:
            continue
        python = sys.executable if peer.environment is None else python_of(arguments.peers, peer.environment)
        print(peer.name, flush=True)
        if python is None:
            found = {"not_run": "it has no environment below --peers"}
        else:
            (folder := scratch / peer.program).mkdir()
            found = try_peer(Trial(peer, python, tars, folder, steps), arguments.rounds, arguments.together)
        print(json.dumps(found, indent=1), flush=True)
        known = json.loads(RESULT.read_text())["loaders"] if RESULT.exists() else {}
        known[peer.name] = found
        ordered = {one.name: known[one.name] for one in PEERS if one.name in known}
        save(
            "determinism",
            {"loaders": ordered, "global_batch": GLOBAL_BATCH, "ranks": [2, 3], "rounds": arguments.rounds},
        )


if __name__ == "__main__":
    sys.exit(main())
