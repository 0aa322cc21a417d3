"""docs/scale.md says what benchmarks/results/order.json has, and what its advice says follows from the numbers."""

import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RESULT = json.loads((ROOT / "benchmarks" / "results" / "order.json").read_text())


def test_the_page_is_made_of_the_result():
    page = runpy.run_path(str(ROOT / "benchmarks" / "scale_page.py"))["page"](RESULT)
    assert (ROOT / "docs" / "scale.md").read_text() == page, "run: python benchmarks/scale_page.py"


def test_the_range_is_that_of_the_largest_jobs():
    jobs = [row["job"] for name in ("cost", "reading", "quality", "advice") for row in RESULT[name]]
    for field, least, most in (("ranks", 1, 4_096), ("lanes", 32, 4_096), ("samples", 1_281_167, 10**10)):
        assert min(job[field] for job in jobs) == least
        assert max(job[field] for job in jobs) >= most


def test_a_rank_reads_whole_runs_of_its_own_where_the_ranks_divide_the_lanes_and_else_single_samples():
    for row in RESULT["reading"]:
        if row["job"]["lanes"] % row["job"]["ranks"] == 0:
            assert row["extra"] < 0.001
            assert row["requests_a_batch"] < 7
        else:
            assert row["requests_a_batch"] > 30


def test_what_is_advised_fits_the_memory_and_reads_nothing_beyond():
    for row in RESULT["advice"]:
        assert row["reading_extra"] < 0.001
        assert row["job"]["lanes"] == max(96, 12 * row["job"]["ranks"])
        assert row["job"]["window"] == max(8_192, 4 * 256 * row["job"]["ranks"])
        assert row["reading_held_mb"] < 1 << 10  # the default memory_limit


@pytest.mark.parametrize("nodes", [2, 4, 8])
def test_sticky_lanes_keep_a_nodes_cache_warm(nodes):
    hits = {row["sticky_lanes"]: row["hits"] for row in RESULT["cache"]["rows"] if row["nodes"] == nodes}
    assert hits[True] >= 0.97
    assert hits[False] < 1.05 / nodes
