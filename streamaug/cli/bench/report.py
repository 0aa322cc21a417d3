"""The result of `streamaug bench` as one record: the table, the limits, the verdict.

In: a roofline, advice, peers and the machine. Out: a mapping for JSON, of which the text and the page are made too.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from streamaug.cli.bench.intervals import Interval
from streamaug.cli.bench.machine import Company, describe
from streamaug.cli.bench.roofline import CORES, MODEL, PYTHON, THREADS, WORDS, Roofline, Row


def record(
    roof: Roofline,
    *,
    settings: Mapping[str, Any],
    company: Company,
    changes: Sequence[str],
    peers: Sequence[Mapping[str, Any]],
    without_antialias_ms: float | None,
) -> dict[str, Any]:
    """The whole result, in types that JSON can hold."""
    measured = roof.measured
    return {
        "settings": dict(settings),
        "machine": describe(),
        "company": {
            "busy": company.busy,
            "load_average": company.load_average,
            "other_cores": company.other_cores,
            "steal": company.steal,
            "sentence": company.sentence(),
        },
        "rows": [_row(roof, row) for row in measured.rows],
        "chain": {
            "images_per_second": interval(measured.chain),
            "core_ms": interval(measured.chain_core_ms),
            "cores_used": measured.chain.median * measured.chain_core_ms.median / 1e3,
            "reached": roof.reached,
        },
        "limits": [
            {
                "name": limit.name,
                "what": WORDS[limit.name],
                "images_per_second": limit.images_per_second,
                "utilisation": roof.utilised(limit),
                "largest": limit.largest,
            }
            for limit in roof.limits
        ],
        "bound": roof.bound.name,
        "without_antialias_ms": without_antialias_ms,
        "model": None if roof.wait_ms is None else {"step_ms": measured.step_ms, "wait_ms": roof.wait_ms},
        "peers": [dict(peer) for peer in peers],
        "verdict": verdict(roof, settings.get("model")),
        "changes": list(changes),
    }


def _row(roof: Roofline, row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "where": row.where,
        "images_per_second": None if row.alone is None else interval(row.alone),
        "core_ms": interval(row.core_ms),
        "serial_ms": row.serial_ms,
        "share": roof.share(row),
        "utilisation": roof.utilisation(row),
    }


def interval(found: Interval) -> dict[str, float]:
    """An interval as JSON."""
    return {"median": found.median, "low": found.low, "high": found.high, "confidence": found.confidence}


def verdict(roof: Roofline, model: str | None) -> list[str]:
    """Sentences that name the bound of the run, and the chain's distance from it."""
    bound, chain = roof.loader_bound, roof.measured.chain
    sentences = []
    if roof.measured.step_ms is not None:
        sentences.append(_of_model(roof, model or "the model"))
    part = ""
    if bound.largest and bound.name in (CORES, THREADS, PYTHON, "preparation", "gpu"):
        row = next(row for row in roof.measured.rows if row.name == bound.largest)
        part = f" The largest part is {row.name}, {roof.share(row) or 0.0:.0%} of the time."
    of_loader = "The loader is bound" if roof.bound.name == MODEL else "The run is bound"
    sentences.append(
        f"{of_loader} by {WORDS[bound.name]}: at most {bound.images_per_second:,.0f} images/s. The chain gives "
        f"{chain.median:,.0f}, {roof.reached:.0%} of that.{part}"
    )
    following = [limit for limit in roof.limits if limit.name != MODEL][1:2]
    sentences += [
        f"The next limit is {WORDS[limit.name]}, at {limit.images_per_second:,.0f} images/s." for limit in following
    ]
    return sentences


def _of_model(roof: Roofline, model: str) -> str:
    measured, wait_ms = roof.measured, roof.wait_ms or 0.0
    step_ms = measured.step_ms or 0.0
    speed = measured.batch_size * 1e3 / step_ms
    name = f"{model} takes {speed:,.0f} images/s ({measured.batch_size} in {step_ms:g} ms)"
    if wait_ms > 0:
        return (
            f"The model would wait: {name}, so {wait_ms:,.1f} ms of each step of {step_ms + wait_ms:,.1f} ms go by "
            "without a batch."
        )
    return (
        f"The model would not wait, it bounds the run: {name}; the chain gives "
        f"{measured.chain.median / speed:,.1f} times as many."
    )
