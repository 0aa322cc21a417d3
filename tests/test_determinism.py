"""The table of both pages is that of the result, and the shares in it count what they say."""

import importlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def program():
    with pytest.MonkeyPatch.context() as patching:
        patching.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module("determinism")


@pytest.mark.parametrize("page", ["docs/determinism.md", "README.md"])
def test_the_pages_table_is_made_of_the_result(program, page):
    assert ROOT / page in program.PAGES
    result = json.loads((ROOT / "benchmarks" / "results" / "determinism.json").read_text())
    printed = (ROOT / page).read_text().partition(program.BEGIN + "\n")[2].partition(program.END)[0]
    assert printed == program.table(result, program.NEEDS)
    assert list(result["loaders"]) == [peer.name for peer in program.PEERS]


def steps(*numbers, pixels="p", target="t"):
    return [[(number, f"{pixels}{number}", f"{target}{number}") for number in step] for step in numbers]


UNBROKEN = steps((0, 1), (2, 3), (4, 5), (6, 7))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (UNBROKEN[:3], UNBROKEN[2:], (1.0, 1.0, 1.0, 0, 0)),
        (UNBROKEN[:3], steps((5, 4), (7, 6)), (1.0, 1.0, 1.0, 0, 0)),
        (UNBROKEN[:3], steps((6, 7), (4, 5)), (0.0, 1.0, 1.0, 0, 0)),
        (UNBROKEN[:3], steps((4, 5), (6, 7), pixels="other"), (1.0, 0.0, 1.0, 0, 0)),
        (UNBROKEN[:3], steps((4, 5)) + steps((6, 7), target="other"), (1.0, 1.0, 0.5, 0, 0)),
        (UNBROKEN[:3], steps((4, 5)), (0.5, 0.5, 0.5, 2, 0)),
        (UNBROKEN[:3], UNBROKEN, (0.0, 1.0, 1.0, 0, 4)),
        (UNBROKEN[:3], steps((4, 9), (6, 4)), (0.5, 0.5, 0.5, 2, 1)),
        (UNBROKEN[:3], [], (0.0, 0.0, 0.0, 4, 0)),
    ],
    ids=["same", "in a batch", "batches", "pixels", "targets", "short", "anew", "another", "nothing"],
)
def test_shares_and_losses(program, before, after, expected):
    found = program.compare(UNBROKEN, before, after, 2)
    names = ("same_global_batch", "same_pixels", "same_mixed_targets", "lost", "twice")
    assert tuple(found[name] for name in names) == expected


def test_batches_of_several_ranks_make_the_global_batch(program, tmp_path, monkeypatch):
    """Also where each rank's part of it comes in smaller batches."""
    monkeypatch.setitem(program.rows.__globals__, "GLOBAL_BATCH", 4)
    for rank in range(2):
        lines = [[[10 * rank + number, "p", "t"]] for number in range(4)]
        (tmp_path / f"rows-{rank}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = [[row[0] for row in step] for step in program.rows(tmp_path)]
    assert found == [[0, 10, 1, 11], [2, 12, 3, 13]]
