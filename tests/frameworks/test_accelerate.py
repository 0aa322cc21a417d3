"""Chains in Accelerate, on one rank and on two: each reads its own, an image is evaluated once, states are exact."""

import pytest

pytest.importorskip("accelerate")

import accelerate_rows as rows
import loops
import two
from accelerate import Accelerator

from streamaug.integrations.accelerate import prepare

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def of_one(url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("accelerate")
    found = {name: row(url, str(folder / name), 1) for name, row in rows.ROWS.items()}
    return [found | {"places": loops.places(url, loops.mixed)}]


@pytest.fixture(scope="module")
def of_two(url, tmp_path_factory):
    return two.run("accelerate_rows.py", tmp_path_factory.mktemp("accelerate") / "ranks", url)


@pytest.fixture(params=["of_one", "of_two"])
def found(request):
    return request.getfixturevalue(request.param)


def test_states_bring_back_the_rest(found):
    for rank in found:
        places = rank["places"]
        assert [places[digest] for digest in rank["loop"]["whole"]] == loops.epochs(0, 1, 2)[:15]
        for done in (4, 6, 9):
            resumed = {int(key): value for key, value in rank["loop"]["resumed"].items()}[done]
            assert [places[digest] for digest in resumed] == loops.epochs(0, 1, 2)[done:15]
    assert len({digest for rank in found for digest in rank["loop"]["whole"]}) == 15 * len(found)


def test_batches_are_skipped_without_reading_them(found):
    for rank in found:
        assert rank["skipping"]["rest"] == [[0, 4], [0, 5]]
        assert rank["skipping"]["following"] == loops.epochs(1)
        assert rank["skipping"]["made"] == [4, 5]


def test_the_optimizer_moves_at_the_epochs_end_too(found):
    epoch = [False, False, False, True, False, True]
    for rank in found:
        assert rank["accumulating"] == [*epoch, *epoch, False, True]


def test_every_image_is_evaluated_once(found):
    for rank in found:
        for kind, ids in rank["evaluating"].items():
            assert ids == list(range(97)), kind


def test_a_loader_of_ones_own_gives_right_data_or_an_error(of_one, of_two):
    found = of_one[0]["wrapped"]
    for name in ("batches", "tuples", "dicts"):
        assert (
            found[name] == [6, 6] if name != "batches" else found[name][0] == "TypeError"
        )  # Accelerate slices batches
        assert found[f"{name}, skipped"][0] == "StreamaugError"
        assert found[f"{name}, batched"][0] == "StreamaugError"
        kind, message = of_two[0]["wrapped"][name]
        assert kind == "StreamaugError"
        assert "accelerate.prepare" in message
    assert found["chain itself"]
    assert of_two[1]["wrapped"]["chain itself"]


def test_only_chains_that_can_be_told_apart_from_their_padding_are_prepared(url):
    accelerator = Accelerator(cpu=True)
    with pytest.raises(TypeError, match=r"prepare\.stage: must be a streamaug stage, got list"):
        prepare(accelerator, [1, 2])
    with pytest.raises(ValueError, match=r"prepare\.stage: must not pad a shuffled epoch"):
        prepare(accelerator, loops.plain(url, tail="pad"))
