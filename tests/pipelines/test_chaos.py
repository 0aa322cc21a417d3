"""A training killed at random moments: benchmarks/chaos.py, its judge, and its draw of moments."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from servers import weed
from watching import PATIENCE

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def killing(monkeypatch):
    """The modules of benchmarks/killing."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from killing import moments, rows

    return {"moments": moments, "rows": rows}


def write_life(folder, steps, resumed=None, changed=None, cut=False):
    """The files of a life of one rank with two rows a step: (epoch, step) of each batch."""
    folder.mkdir()
    records = [{"event": "begin"}]
    if resumed is not None:
        records.append({"event": "resumed", "epoch": resumed[0], "position": resumed[1]})
    (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    lines = []
    for epoch, step in steps:
        rows = [[position, f"{epoch} {position}"] for position in (2 * step, 2 * step + 1)]
        if changed == (epoch, step):
            rows[1][1] = "other pixels"
        lines.append(json.dumps({"epoch": epoch, "step": step, "rows": rows}) + "\n")
    if cut:
        lines[-1] = lines[-1][:-9]
    (folder / "rows-0.jsonl").write_text("".join(lines))
    return folder


FIRST = [(0, 0), (0, 1), (0, 2)]
ALL = [*FIRST, (1, 0), (1, 1), (1, 2)]


@pytest.fixture
def judged(tmp_path, killing):
    """What is said of lives, each given as the arguments of `write_life`."""
    whole = killing["rows"].read_life(write_life(tmp_path / "whole", ALL))

    def judge(*lives):
        folders = [write_life(tmp_path / f"life{number}", **life) for number, life in enumerate(lives)]
        return killing["rows"].judge(whole, [killing["rows"].read_life(folder) for folder in folders])

    return judge


def test_rows_that_come_again_after_a_kill_and_alike_are_no_fault(judged):
    verdict = judged({"steps": FIRST}, {"steps": []}, {"steps": ALL[1:], "resumed": (0, 2)})
    assert verdict.holds, verdict
    assert str(verdict).startswith("12 rows, 16 delivered, 4 of them again after a kill; 0 differ, 0 lost, 0 twice")


def test_a_life_may_go_back_before_the_start_of_an_earlier_one(judged):
    """Its checkpoint was torn, so that it took the one before."""
    assert judged(
        {"steps": FIRST}, {"steps": FIRST[2:], "resumed": (0, 4)}, {"steps": ALL[1:], "resumed": (0, 2)}
    ).holds


def test_a_batch_whose_line_a_kill_cut_off_comes_again(judged):
    assert judged({"steps": FIRST, "cut": True}, {"steps": ALL[2:], "resumed": (0, 4)}).holds


@pytest.mark.parametrize(
    ("lives", "different", "lost", "twice", "gaps"),
    [
        ([{"steps": FIRST}, {"steps": ALL[3:], "resumed": (1, 0), "changed": (1, 1)}], [(1, 3)], [], [], 0),
        ([{"steps": FIRST, "changed": (0, 2)}, {"steps": ALL[2:], "resumed": (0, 4)}], [(0, 5)], [], [], 0),
        ([{"steps": FIRST}, {"steps": ALL[4:], "resumed": (1, 2)}], [], [(1, 0), (1, 1)], [], 0),
        ([{"steps": FIRST, "cut": True}, {"steps": ALL[3:], "resumed": (1, 0)}], [], [(0, 4), (0, 5)], [], 0),
        ([{"steps": FIRST}, {"steps": ALL[2:], "resumed": (1, 0)}], [], [], [(0, 4), (0, 5)], 0),
        ([{"steps": [(0, 0), (0, 2), *ALL[3:]]}], [], [(0, 2), (0, 3)], [], 1),
        ([{"steps": [*FIRST, *FIRST[2:], *ALL[3:]]}], [], [], [(0, 4), (0, 5)], 1),
        ([{"steps": ALL[:-1]}], [], [(1, 4), (1, 5)], [], 0),
    ],
    ids=["other pixels", "forgotten, and other", "skipped", "cut", "too early", "left out", "repeated", "too short"],
)
def test_rows_that_differ_or_are_lost_or_come_twice_are_found(judged, lives, different, lost, twice, gaps):
    verdict = judged(*lives)
    assert not verdict.holds
    assert (verdict.different, verdict.lost, verdict.twice, len(verdict.gaps)) == (different, lost, twice, gaps)


@pytest.mark.parametrize(("kills", "steps"), [(20, 82), (4, 10), (4, 9)])
def test_no_life_can_end_before_it_is_killed(killing, kills, steps):
    """Even if each gets as far as it may, the next one has a step left."""
    moments = killing["moments"]
    kinds, victims, ranks = set(), set(), set()
    for seed in range(50):
        rng, done = random.Random(seed), 0
        for number in range(kills):
            plan = moments.draw(rng, number, kills, steps - done, store=True)
            assert done < steps, (seed, number)
            assert plan.moment.rank < plan.ranks
            assert plan.victim is None or plan.victim < plan.ranks
            assert plan.remote == (number % 2 == 1)
            assert moments.Moment.parse(plan.moment.written()) == plan.moment
            if moments.COUNTED[plan.moment.kind] == "batch":
                done += plan.moment.count + moments.AHEAD
            kinds.add(plan.moment.kind)
            victims.add(plan.victim is None)
            ranks.add(plan.ranks)
        assert moments.draw(rng, kills, kills, steps - done, store=True).moment is None
    assert kinds == set(moments.KINDS[:kills])
    assert (victims, ranks) == ({True, False}, set(moments.RANKS))


@pytest.mark.slow
def test_four_kills_on_one_to_four_ranks_lose_nothing_and_repeat_nothing(shards, tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "chaos.py"), "--kills", "4", "--seed", "0", "--copies", "1"]
    command += ["--data", str(Path(shards[0]).parent), "--size", "32", "--save-every", "1"]
    command += [] if weed() else ["--no-store"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=4 * PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:6]] == [
        "unbroken",
        *(f"kill {number}/4" for number in (1, 2, 3, 4)),
        "at last",
    ]
    assert lines[6].startswith("holds: 4 kills, 480 rows, ")
    assert "between a checkpoint's write and its rename" in done.stdout
    assert any("SIGKILL of rank" in line for line in lines)
