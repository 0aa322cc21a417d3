"""Makes docs/scale.md of benchmarks/results/order.json: which lanes, window and shard size for which job.

In: the result of benchmarks/order.py. Out: the page; `tests/test_scale_page.py` compares the two.

    python benchmarks/scale_page.py
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULT, PAGE = ROOT / "benchmarks" / "results" / "order.json", ROOT / "docs" / "scale.md"

_HEAD = """# Scale: which lanes, window and shards for which job

`python benchmarks/order.py && python benchmarks/scale_page.py` makes this page; `benchmarks/results/order.json` has
all numbers. They are simulated: the order is arithmetic, so a single machine computes the requests of rank 4,095 of
4,096, and no sample is read. Times are CPU time of one thread on {cpu} (load average {load} while others worked on
its {cores} cores, {date}). Samples have {sample:,} bytes in tars, batches {batch} rows a rank. A request asks a store
for some 8 MB. Nothing here was run on so many machines.

## What to choose

- **Lanes: twelve a rank, and at least 96**, which is the default up to 8 ranks. Every rank then takes from twelve
  parts of the set at a time, whatever the number of ranks. Choose twelve rather than eight or sixteen: where ranks
  and batches are powers of two, half of a global batch is then no multiple of the lanes, so that Mixup and CutMix
  pair samples of different lanes (`docs/pixels.md`).
- **Window: four global batches, and at least 8,192**, which is the default, and fits 8 ranks with batches of 256. Set
  it beyond 8 ranks: a reader does not know the global batch when it makes its order. With twelve lanes a rank a run
  is then 85 samples, 9 MB, two requests. 512 ranks with three lanes each and the default window have {few_shards}
  shards in a global batch, and {few_near} of its samples beside their neighbour; with twelve and four global batches,
  {many_shards} and {many_near}.
- **A multiple of the ranks.** 64 ranks with 96 lanes ask for {odd_requests} ranges a batch instead of
  {even_requests}, and read {odd_extra} more bytes than they use. For a job that is to go on with other numbers of
  ranks, take a multiple of all these numbers.
- **Shuffle when the shards are made**, as `streamaug make-shards` does: neighbours in a shard are then as good as any
  two samples, and more lanes or a larger window gain nothing. Else take more lanes rather than a larger window. At
  some {lanes_mb} MB a rank, 8 ranks with 512 lanes have {lanes_shards} shards in a global batch, and {lanes_near} of
  its samples beside their neighbour; 96 lanes and a window of 32,768, as many bytes, have {window_shards} and
  {window_near}. The default has {plain_shards} and {plain_near}, at {plain_mb} MB.
- **Shards of 1,000 samples (some 100 MB) up to 100 million samples, of 10,000 (1 GB) above.** A shard is a file to
  open, list and index, and costs the order some 50 bytes. Have several shards a lane.
- **`sticky_lanes=True`** where nodes have a disk cache (last table).
- **Memory**: "MB held" is the size of the current runs of all lanes of a rank. Where it exceeds
  `StorageOptions(memory_limit=…)`, 1 GiB by default, the reader fetches smaller pieces.
"""

_COST = """## What the order costs

The columns "ms" are CPU time: "first" of the first batch of an epoch, where the shards are laid out anew; "anywhere"
of a batch anywhere in it, as `seek` and `streamaug batch` ask for it; "reader" of a batch as a reader asks for it,
run by run. The columns "MB" are the order's tables of two epochs, and the peak while they are made. The cost follows
the number of shards, not that of ranks or samples.
"""

_READING = """## What a rank reads

The set has {samples} samples. Where the number of ranks divides the lanes, a rank reads its own samples alone, run by
run. Else several ranks share a lane. Then a rank asks for samples one by one. Where few ranks share a lane it also
reads the gaps between its samples, since a request costs more than 256 KB: "beyond" is the size of the gaps as a
share of its own bytes.
"""

_QUALITY = """## How well it is shuffled

"Shards" counts the different shards in a global batch, and in the batch of one rank, beside the count of a full
shuffle of all samples. "Neighbours" is the share of a batch's samples whose successor in the shard is in the same
batch. Both are the price of reading ranges instead of single samples: a batch takes a few samples from each of L
runs, and a run is a part of a shard. The gradient of a step comes from the global batch; batch-norm statistics that
are not synchronised come from the shards of a rank alone.
"""

_CACHE = """## Caches that stay warm

With {samples} samples in shards of {shard}, {lanes} lanes and nodes of 8 ranks: "hits" is the share of a node's
samples of the second epoch that it also read in the first, of the worst node; "read" is the share of the set that a
node has read after two epochs. That this share is smaller is the price.
"""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown, numbers to the right."""
    lines = [heads, ["---" if number == 0 else "---:" for number in range(len(heads))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def number(value: float) -> str:
    """Two or three digits that matter."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def share(value: float) -> str:
    """A share in per cent."""
    return f"{value:.0%}" if value == 0 or value >= 0.1 else f"{value:.2%}"


def count(value: int) -> str:
    """A number of samples in words."""
    for unit, name in ((10**9, "billion"), (10**6, "million")):
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:,}"


def page(result: Mapping[str, Any]) -> str:
    """The whole page."""
    machine, cache = result["machine"], result["cache"]
    odd, even = (row_of(result["reading"], ranks=64, lanes=lanes) for lanes in (96, 192))
    held = {lanes: row_of(result["reading"], ranks=8, lanes=lanes)["held_mb"] for lanes in (96, 512)}
    shuffles = {
        name: row_of(result["quality"], ranks=8, shard=1_000, lanes=lanes, window=window)
        for name, lanes, window in (("lanes", 512, None), ("window", 96, 32_768), ("plain", 96, None))
    } | {
        name: row_of(result["quality"], ranks=512, shard=10_000, lanes=lanes, window=window)
        for name, lanes, window in (("few", 1_536, None), ("many", 6_144, 524_288))
    }
    head = _HEAD.format(
        cpu=machine["cpu"],
        load=f"{machine['load_average'][0]:.0f}",
        cores=machine["usable_cores"],
        date=result["date"][:10],
        sample=result["sample_bytes"],
        batch=result["cost"][0]["job"]["batch"],
        odd_requests=number(odd["requests_a_batch"]),
        even_requests=f"{even['requests_a_batch']:.0f}",
        odd_extra=share(odd["extra"]),
        lanes_mb=number(held[512]),
        plain_mb=number(held[96]),
        **{f"{name}_shards": number(row["shards"]) for name, row in shuffles.items()},
        **{f"{name}_near": share(row["neighbours"]) for name, row in shuffles.items()},
    )
    return "\n".join(
        [
            head,
            advice(result["advice"]),
            _COST,
            cost(result["cost"]),
            _READING.format(samples=count(result["reading"][0]["job"]["samples"])),
            reading(result["reading"]),
            _QUALITY,
            mixing(result["quality"]),
            _CACHE.format(
                samples=count(cache["job"]["samples"]),
                shard=f"{cache['job']['shard']:,}",
                lanes=cache["job"]["lanes"],
            ),
            caches(cache["rows"]),
        ]
    )


def row_of(rows: Iterable[Mapping[str, Any]], **job: object) -> Mapping[str, Any]:
    """The row of a job; the first, where several have these settings."""
    return next(row for row in rows if all(row["job"][name] == value for name, value in job.items()))


def advice(rows: Sequence[Mapping[str, Any]]) -> str:
    """The advised settings of each kind of job, and their figures."""
    return table(
        [
            *("job", "lanes", "window", "samples a shard", "ms a batch", "MB of the order"),
            *("requests a batch", "MB held", "shards in a global batch / full", "of a rank"),
        ],
        [
            [
                row["name"],
                f"{row['job']['lanes']:,}",
                f"{row['job']['window']:,}",
                f"{row['job']['shard']:,}",
                number(row["reader_batch_ms"]),
                number(row["held_mb"]),
                number(row["reading_requests_a_batch"]),
                number(row["reading_held_mb"]),
                f"{number(row['shards'])} / {number(row['shards_full'])}",
                number(row["shards_of_a_rank"]),
            ]
            for row in rows
        ],
    )


def cost(rows: Sequence[Mapping[str, Any]]) -> str:
    """Times and memory."""
    return table(
        ["samples", "shards", "ranks", "lanes", "ms first", "anywhere", "reader", "MB held", "at the peak"],
        [
            [
                count(row["job"]["samples"]),
                f"{-(-row['job']['samples'] // row['job']['shard']):,}",
                f"{row['job']['ranks']:,}",
                f"{row['job']['lanes']:,}",
                *(
                    number(row[name])
                    for name in ("first_batch_ms", "batch_ms", "reader_batch_ms", "held_mb", "peak_mb")
                ),
            ]
            for row in rows
        ],
    )


def reading(rows: Sequence[Mapping[str, Any]]) -> str:
    """Requests and bytes."""
    return table(
        ["ranks", "lanes", "lanes of a rank", "requests a batch", "MB a request", "MB a batch", "beyond", "MB held"],
        [
            [
                f"{row['job']['ranks']:,}",
                f"{row['job']['lanes']:,}",
                f"{row['lanes_of_a_rank']:,}",
                *(number(row[name]) for name in ("requests_a_batch", "mb_a_request", "mb_a_batch")),
                share(row["extra"]),
                number(row["held_mb"]),
            ]
            for row in rows
        ],
    )


def mixing(rows: Sequence[Mapping[str, Any]]) -> str:
    """The shuffle beside a full one."""
    return table(
        ["samples", "a shard", "ranks", "lanes", "window", "shards / full", "of a rank / full", "neighbours / full"],
        [
            [
                count(row["job"]["samples"]),
                f"{row['job']['shard']:,}",
                f"{row['job']['ranks']:,}",
                f"{row['job']['lanes']:,}",
                "default" if row["job"]["window"] is None else f"{row['job']['window']:,}",
                f"{number(row['shards'])} / {number(row['shards_full'])}",
                f"{number(row['shards_of_a_rank'])} / {number(row['shards_of_a_rank_full'])}",
                f"{share(row['neighbours'])} / {share(row['neighbours_full'])}",
            ]
            for row in rows
        ],
    )


def caches(rows: Sequence[Mapping[str, Any]]) -> str:
    """Hits of the second epoch, plain beside sticky."""
    plain, sticky = ([row for row in rows if row["sticky_lanes"] is value] for value in (False, True))
    return table(
        ["nodes", "hits", "hits with `sticky_lanes`", "read", "read with `sticky_lanes`"],
        [
            [
                str(one["nodes"]),
                *(f"{row['hits']:.1%}" for row in (one, other)),
                *(share(row["met_in_two_epochs"]) for row in (one, other)),
            ]
            for one, other in zip(plain, sticky, strict=True)
        ],
    )


def main() -> int:
    """Write docs/scale.md."""
    PAGE.write_text(page(json.loads(RESULT.read_text())))
    print(PAGE)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
