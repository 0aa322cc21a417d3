"""`ShardReader(repeats=…)`: the same copies on any number of ranks, fetched once, augmented each by itself."""

import json

import numpy as np
import pytest
from reading import reader, readers, rows
from servers import http_proxy
from shards_on_disk import write_shards
from tars import random_samples, write_tars

import streamaug as sa
from streamaug import mix, ops, recipes
from streamaug.errors import StateError

COUNTS = (30, 12, 41, 25)


def augmented(pipe):
    return pipe.augment(recipes.imagenet_train(size=16), device="cpu", num_threads=1)


def by_copy(batches):
    """{(sample id, copy): pixels of the row}, of each row that is no stand-in."""
    out = {}
    for batch in batches:
        origin = batch.origin
        for row in np.flatnonzero(~origin.is_substitute).tolist():
            key = int(origin.sample_ids[row]), int(origin.copies[row])
            assert key not in out
            out[key] = batch.images[row].numpy().tobytes()
    return out


def test_copies_stand_in_consecutive_slots_and_differ_and_the_first_is_the_sample_without_repeats(uneven):
    url, _ = uneven
    copies = by_copy(augmented(reader(url, repeats=3)))
    plain = by_copy(augmented(reader(url)))
    samples = {sample for sample, _ in copies}
    assert len(samples) == 16 * 8
    assert copies.keys() == {(sample, number) for sample in samples for number in range(3)}
    assert all(copies[sample, 0] == plain[sample, 0] for sample in samples if (sample, 0) in plain)
    different = sum(len({copies[sample, number] for number in range(3)}) == 3 for sample in samples)
    assert different >= len(samples) - 2  # some picture is of one colour


@pytest.mark.filterwarnings("ignore:ShardReader.lanes")
def test_global_batches_are_the_same_on_any_number_of_ranks_and_from_a_state(uneven):
    url, _ = uneven
    options = {"repeats": 3, "batch_size": 24}
    alone = rows(reader(url, **options))
    for world_size in (2, 3, 4, 6):
        ranks = readers(url, world_size, **options)
        assert len({len(one) for one in ranks}) == 1
        assert rows(batch for one in ranks for batch in one) == alone
    first = reader(url, **options)
    stream = iter(first)
    seen = rows(next(stream) for _ in range(5))
    ranks = readers(url, 3, **options)
    for one in ranks:
        one.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert seen | rows(batch for one in ranks for batch in one) == alone


def test_a_state_of_other_repeats_is_refused_and_plain_states_have_none(uneven):
    url, _ = uneven
    repeated, plain = reader(url, repeats=3), reader(url)
    assert "repeats" not in plain.state_dict()["order"]
    assert repeated.state_dict()["order"]["repeats"] == 3
    repeated.load_state_dict(repeated.state_dict())
    with pytest.raises(StateError, match=r"state\.order\.repeats: must be 1, got 3\. Give the reader repeats=3"):
        plain.load_state_dict(repeated.state_dict())
    with pytest.raises(StateError, match=r"state\.order\.repeats: must be 3, got 1"):
        repeated.load_state_dict(plain.state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeats": 0}, r"ShardReader\.repeats: must be an integer of at least 1, got 0"),
        ({"repeats": True}, r"ShardReader\.repeats: must be an integer"),
        ({"repeats": 2, "shuffle": False}, r"repeats: must be 1 where shuffle is False, got 2"),
        ({"repeats": 400}, r"repeats: must lie in 1\.\.24"),
    ],
)
def test_repeats_that_make_no_sense_are_refused(uneven, options, message):
    with pytest.raises(ValueError, match=message):
        reader(uneven[0], **options)


def test_default_lanes_leave_four_samples_a_lane_and_epoch(uneven):
    shards = sa.ShardSet.open(uneven[0])
    assert [sa.ShardReader(shards, batch_size=4, repeats=r).order.lanes for r in (1, 2, 3, 20)] == [96, 48, 24, 2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    rng = np.random.default_rng(0)
    listings = [random_samples(rng, count, (4_000, 9_000), f"s{number}i") for number, count in enumerate(COUNTS)]
    return write_tars(tmp_path_factory.mktemp("repeats"), listings, digits=1)


@pytest.mark.parametrize(("window", "memory_limit"), [(4, "1GB"), (64, 60_000)])
@pytest.mark.filterwarnings("ignore:window", "ignore:memory_limit")
def test_the_bytes_of_all_copies_are_fetched_once(folder, window, memory_limit):
    """Sample by sample, and where a run is fetched in pieces: three epochs of a third of the samples are one."""
    with http_proxy(folder) as (proxy, base):
        options = sa.StorageOptions(hedge=False, memory_limit=memory_limit)
        shards = sa.ShardSet.open([f"{base}/x-{number}.tar" for number in range(4)], storage=options)
        sizes = {}
        for repeats in (1, 3):
            proxy.forget()
            with reader(shards, repeats=repeats, lanes=4, window=window, batch_size=12, read_ahead=False) as one:
                for _ in range(repeats):
                    for batch in one:
                        sizes |= dict(zip(batch.origin.sample_ids.tolist(), map(len, batch.data), strict=True))
            assert len(sizes) == sum(COUNTS)
            total = sum(sizes.values())
            # 2,048 bytes of headers and padding lie between two images; each request is for a sample or for several.
            assert total <= proxy.bytes <= total + 2_600 * sum(COUNTS)
            assert proxy.requests["GET"] <= sum(COUNTS) + len(COUNTS)


@pytest.mark.filterwarnings("ignore:.*bad")
def test_each_copy_of_a_bad_sample_has_a_stand_in_of_its_own_draws(drawn, tmp_path):
    bad = {drawn[number][0] for number in (3, 40, 77)}
    samples = [(key, label, jpeg[:60] if key in bad else jpeg) for key, label, jpeg in drawn[:96]]
    url = write_shards(tmp_path, "part", samples, (40, 56))

    def delivered(world_size):
        ranks = readers(url, world_size, batch_size=16, lanes=8, repeats=4, on_bad_sample="substitute")
        batches = [batch for one in ranks for _ in range(4) for batch in augmented(one)]
        return {(batch.origin.epoch, position): row for batch in batches for position, row in rows([batch]).items()}

    alone = delivered(1)
    assert alone == delivered(2)
    assert not bad & {row.key for row in alone.values()}
    stand_ins = [row for row in alone.values() if row.is_substitute]
    assert len(stand_ins) == 3 * 4
    assert len({row.key for row in stand_ins}) == 3
    assert len({row.content for row in stand_ins}) > 9


@pytest.mark.parametrize("kind", ["mixture", "balanced"])
def test_other_orders_are_repeated_too(uneven, kind):
    url, _ = uneven
    small, large = (sa.ShardSet.open(url.replace("{000000..000006}", part)) for part in ("000002", "{000003..000006}"))
    shards = sa.ShardSet.mix({small: 1, large: 2}) if kind == "mixture" else large.balance_classes()
    alone = rows(reader(shards, repeats=2, lanes=8))
    ids = np.array([alone[position].sample_id for position in range(len(alone))]).reshape(-1, 8)
    np.testing.assert_array_equal(ids[::2][: len(ids) // 2], ids[1::2])
    assert rows(batch for one in readers(shards, 2, repeats=2, lanes=8) for batch in one) == alone


@pytest.mark.parametrize(("lanes", "global_batch"), [(16, 32), (16, 64), (16, 48), (8, 32), (24, 48), (96, 24)])
@pytest.mark.filterwarnings("ignore:ShardReader.lanes")
def test_copies_are_never_partners_on_any_number_of_ranks(uneven, lanes, global_batch):
    url, _ = uneven

    def pairs(world_size):
        out = {}
        for one in readers(url, world_size, lanes=lanes, batch_size=global_batch, repeats=4):
            for batch in one:
                origin, plan = batch.origin, mix.MixPlan.draw(batch.origin, height=32, width=32)
                ids, partner = origin.sample_ids, plan.partner
                assert (ids != ids[partner]).all()
                assert (partner[partner] == np.arange(len(partner))).all()
                out |= dict(
                    zip(
                        origin.positions.tolist(),
                        zip(origin.positions[partner].tolist(), plan.lam.tolist(), strict=True),
                        strict=True,
                    )
                )
        return out

    alone = pairs(1)
    for world_size in (2, 3):
        if global_batch // world_size % 8 == 0:
            assert pairs(world_size) == alone


def test_copies_of_one_pair_draw_their_mixing_each_by_itself(uneven):
    batch = next(iter(reader(uneven[0], lanes=4, batch_size=64, repeats=8)))
    plan = mix.MixPlan.draw(batch.origin, height=32, width=32, lam="element", switch_probability=0.0)
    assert len(set(plan.lam.tolist())) > 60
    assert len(set(batch.origin.sample_ids.tolist())) == 8


def test_a_batch_that_cannot_keep_copies_apart_is_refused_with_one_that_can(uneven):
    url, _ = uneven
    chain = augmented(reader(url, lanes=12, batch_size=12 * 2, world_size=4, repeats=3)).mixup(num_classes=1000)
    with pytest.raises(
        ValueError, match=r"ShardReader\.batch_size: must be a multiple of 4 .* 12 = 1 · 12 lanes .*"
    ) as e:
        next(iter(chain))
    assert "got 6. Use a batch_size of 8." in str(e.value)
    chain = augmented(reader(url, lanes=12, batch_size=8 * 4, world_size=4, repeats=3)).mixup(num_classes=1000)
    batch = next(iter(chain))
    assert (batch.origin.sample_ids != batch.origin.sample_ids[batch.mix.partner]).all()


def test_draws_of_each_operation_are_the_copys_own(uneven):
    recipe = sa.Recipe([ops.Resize(16), ops.HorizontalFlip(probability=0.5)], output=recipes.imagenet_eval(16).output)
    pipe = reader(uneven[0], repeats=16, lanes=4, batch_size=64).augment(recipe, device="cpu", num_threads=1)
    looks = {}
    for batch in pipe:
        for row, sample in enumerate(batch.origin.sample_ids.tolist()):
            looks.setdefault(sample, []).append(batch.images[row].numpy().tobytes())
    both = [len(set(seen)) == 2 for seen in looks.values()]
    assert np.mean(both) > 0.9
    shares = [seen.count(seen[0]) / len(seen) for seen in looks.values()]
    assert 0.4 < np.mean(shares) < 0.65
