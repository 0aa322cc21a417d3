"""`streamaug order` shows the samples of a step, and how well they are shuffled."""

import json

import pytest
from tars import consecutive, write_tars

import streamaug as sa
from streamaug.cli import main


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = write_tars(tmp_path_factory.mktemp("order"), consecutive([40, 25, 60, 35] * 3), digits=2)
    return f"{folder}/x-{{00..11}}.tar"


def facts(capsys, *arguments):
    assert main(["order", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("world_size", "options"), [(1, []), (3, ["--sticky-lanes"]), (2, ["--no-shuffle"]), (2, ["--repeats", "3"])]
)
def test_the_rows_are_those_that_readers_deliver(url, capsys, world_size, options):
    wanted = ["--world-size", str(world_size), "--batch-size", str(12 // world_size), "--step", "5", "--epoch", "1"]
    given = facts(capsys, url, *wanted, "--seed", "4", *options)
    settings = {
        "repeats": 3 if "--repeats" in options else 1,
        "sticky_lanes": "--sticky-lanes" in options,
        "shuffle": "--no-shuffle" not in options,
    }
    expected = []
    for rank in range(world_size):
        reader = sa.ShardReader(
            sa.ShardSet.open(url), batch_size=12 // world_size, seed=4, rank=rank, world_size=world_size, **settings
        )
        reader.seek(1, 5)
        origin = reader.peek().origin
        expected += zip(origin.keys, origin.positions.tolist(), origin.sample_ids.tolist(), strict=True)
        reader.close()
    assert [(row["key"], row["position"], row["sample_id"]) for row in given["rows"]] == expected
    assert given["steps"] == 480 // 12
    assert {row.get("copy") for row in given["rows"]} == (
        {2} if "--repeats" in options else {None}
    )  # slot 2 of each lane
    assert all(row["shard"].endswith(".tar") for row in given["rows"])


def test_quality_tells_a_shuffle_from_the_listed_order(url, capsys):
    shuffled = facts(capsys, url, "--batch-size", "48", "--lanes", "24")["quality"]
    listed = facts(capsys, url, "--batch-size", "48", "--no-shuffle")["quality"]
    assert shuffled["shards_full"] == listed["shards_full"] == pytest.approx(11.8, abs=0.2)
    assert shuffled["neighbours_full"] == listed["neighbours_full"] == 0.1
    few = facts(capsys, url, "--batch-size", "48", "--lanes", "96")["quality"]
    assert listed["shards"] < 3 < few["shards"] < 0.8 * shuffled["shards_full"] < shuffled["shards"]
    assert listed["neighbours"] > 0.9 > 0.5 > shuffled["neighbours"]
    assert listed["drift"] > 0.99
    assert abs(shuffled["drift"]) < 0.8


def test_the_table_has_a_line_for_each_row(url, capsys):
    assert main(["order", url, "--batch-size", "4", "--world-size", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 8 + 3
    assert lines[2].endswith(".tar")
    assert "a full shuffle has" in lines[-1]


def test_the_head_of_the_table_says_the_order_in_words(url, capsys):
    assert main(["order", url, "--batch-size", "48", "--lanes", "24", "--window", "96", "--step", "1"]) == 0
    head = capsys.readouterr().out.splitlines()[0]
    assert head == "epoch 0, step 1 of 10; lanes=24, window=96, shuffle=True, tail=drop"
