"""States that 0.1.0 saved, of plain, mixed and balanced sets: they load, and the batch behind them is the same one.

The states, keys and stand-ins were computed by release 0.1.0 on the shards written here.
"""

import pytest
from tars import write_tar

import streamaug as sa

ORDER = {"lanes": 4, "window": 24, "shuffle": True, "tail": "pad"}
GOLDENS = {
    "plain": (
        "c464f176fe42adac4e2281cfd47f141e27183f97aa4940129a8c3cf2fec1aada",
        ORDER,
        [15, 28, 34, 4, 19, 26, 38, 5],
        [26, 30, 27, 31, 29, 23],
    ),
    "listed": (
        "c464f176fe42adac4e2281cfd47f141e27183f97aa4940129a8c3cf2fec1aada",
        ORDER | {"shuffle": False},
        [16, 17, 18, 19, 20, 21, 22, 23],
        [22, 36, 28, 6, 5, 21],
    ),
    "mixed": (
        "897aa465cb7d86980626e1f0316da8a5818033e27aaee449ac442a688a183f78",
        ORDER,
        [47, 53, 5, 59, 45, 52, 54, 42],
        [51, 52, 49, 50, 46, 59],
    ),
    "nested": (
        "a6e2f6e1ac9320d79d2b5b4df83ecdecd00c02f1a6269a22860f09ea5fa31c25",
        ORDER,
        [59, 45, 17, 53, 41, 44, 50, 27],
        [46, 44, 43, 42, 55, 48],
    ),
    "balanced": (
        "38ff7f48d8dd6bb4eb779c5b911625cdbf2850d785c32643f791377d60b78a3d",
        ORDER,
        [29, 17, 38, 23, 6, 30, 16, 8],
        [16, 15, 36, 25, 5, 7],
    ),
}


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("goldens")
    start = 0
    for name, size in (("a-000000", 31), ("a-000001", 9), ("b-000000", 20)):
        members = []
        for i in range(start, start + size):
            members += [(f"k{i:05d}.jpg", bytes([i % 251]) * (700 + i)), (f"k{i:05d}.cls", str(i % 10 // 4).encode())]
        write_tar(folder / f"{name}.tar", members)
        start += size
    plain, other = (sa.ShardSet.open(str(folder / name)) for name in ("a-{000000..000001}.tar", "b-000000.tar"))
    mixed = sa.ShardSet.mix({plain: 1, other: 3})
    nested = sa.ShardSet.mix({mixed: 1, plain: 0.5})
    return {
        "plain": plain,
        "listed": plain,
        "mixed": mixed,
        "nested": nested,
        "balanced": plain.balance_classes(),
    }


@pytest.mark.parametrize("name", GOLDENS)
@pytest.mark.parametrize("world_size", [1, 2])
def test_a_state_that_the_first_release_saved_goes_on_where_it_stood(sets, name, world_size):
    fingerprint, order, keys, stand_ins = GOLDENS[name]
    state = {"version": 1, "fingerprint": fingerprint, "seed": 5, "epoch": 3, "position": 16, "order": order}
    delivered = {}
    for rank in range(world_size):
        reader = sa.ShardReader(
            sets[name],
            batch_size=8 // world_size,
            seed=5,
            lanes=4,
            window=24,
            tail="pad",
            shuffle=order["shuffle"],
            rank=rank,
            world_size=world_size,
        )
        reader.load_state_dict(state)
        assert reader.state_dict() == state
        origin = next(iter(reader)).origin
        delivered |= dict(zip(origin.positions.tolist(), (int(key[1:]) for key in origin.keys), strict=True))
        assert [reader.stand_in(17, attempt) for attempt in range(6)] == stand_ins
        reader.close()
    assert [delivered[position] for position in range(16, 24)] == keys


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain", "ShardSet(2 shards, 40 samples)"),
        ("mixed", "ShardSet.mix({ShardSet(2 shards, 40 samples): 1, ShardSet(1 shards, 20 samples): 3})"),
        ("balanced", "ShardSet(2 shards, 40 samples).balance_classes()"),
    ],
)
def test_a_set_shows_how_it_was_made(sets, name, text):
    assert repr(sets[name]) == text
