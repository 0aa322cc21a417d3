"""`streamaug preview` draws every operation alone and the whole recipe."""

import json
import tarfile
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from shards_on_disk import write_shard

from streamaug import Output, Recipe, ops
from streamaug.cli import main
from streamaug.cli.preview import GAP, HEAD, TILE, at_level, columns


@pytest.fixture
def recipe_file(tmp_path):
    recipe = Recipe([ops.RandomResizedCrop(48), ops.HorizontalFlip(), ops.Rotate(degrees=30), ops.Erase()])
    path = tmp_path / "recipe.json"
    path.write_text(recipe.to_json())
    return path


def test_the_picture_has_a_column_for_each_operation_at_each_level_and_for_each_draw(drawn, recipe_file, tmp_path):
    shard = write_shard(tmp_path / "x-000000.tar", drawn[:8])
    output = tmp_path / "picture.png"
    assert main(["preview", str(recipe_file), str(shard), "-o", str(output), "--rows", "3", "--times", "2"]) == 0
    picture = np.asarray(Image.open(output))
    count = 1 + 3 + 1 + 3 + 3 + 2  # the flip has no range, so it is drawn once
    assert picture.shape == (HEAD + 3 * (TILE + GAP), GAP + count * (TILE + GAP), 3)
    tiles = [picture[HEAD : HEAD + TILE, GAP + k * (TILE + GAP) : GAP + k * (TILE + GAP) + TILE] for k in range(count)]
    original, flipped, middle = tiles[0], tiles[4], tiles[6]
    assert np.abs(original[:, ::-1].astype(int) - flipped).mean() < 3
    assert np.abs(original.astype(int) - middle).mean() < 1  # rotation by 0 degrees
    assert all((tile != original).any() for tile in (tiles[5], tiles[7], tiles[-1], tiles[-2]))
    assert (tiles[-1] != tiles[-2]).any()


@pytest.mark.slow
def test_a_recipe_with_views_shows_each_of_them(drawn, tmp_path, capsys):
    shard = write_shard(tmp_path / "x-000000.tar", drawn[:4])
    output = tmp_path / "picture.png"
    assert main(["preview", "imagenet_tta", str(shard), "-o", str(output), "--rows", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["columns"] == ["original", *["whole recipe"] * 10]
    picture = np.asarray(Image.open(output))
    count = 1 + 10  # the original, ten crops; no operation stands alone, since the resize has no fixed size
    assert picture.shape == (HEAD + 2 * (TILE + GAP), GAP + count * (TILE + GAP), 3)
    views = [picture[HEAD:, GAP + k * (TILE + GAP) : k * (TILE + GAP) + TILE + GAP][:TILE] for k in range(1, 11)]
    assert len({view.tobytes() for view in views}) == 10
    assert np.abs(views[4][:, ::-1].astype(int) - views[9]).mean() < 3  # the centre, and its mirror image


def test_a_choice_shows_what_it_chooses_from_and_what_cannot_stand_alone_is_left_out(drawn, tmp_path):
    choice = ops.RandomChoice([ops.Invert(), ops.Erase(area=0.5, fill="normal")])
    recipe = Recipe([ops.ResizeShortest(48), ops.CenterCrop(48), choice], output=Output(mean=120, std=60))
    assert [title for title, _, _ in columns(recipe)] == ["original", "CenterCrop", "Invert", *["Erase"] * 3]
    path, shard = tmp_path / "recipe.json", write_shard(tmp_path / "x-000000.tar", drawn[:4])
    path.write_text(recipe.to_json())
    output = tmp_path / "picture.png"
    assert main(["preview", str(path), str(shard), "-o", str(output), "--rows", "1", "--times", "1"]) == 0
    picture = np.asarray(Image.open(output))[HEAD : HEAD + TILE].astype(int)
    original, inverted = (picture[:, GAP + k * (TILE + GAP) : k * (TILE + GAP) + TILE + GAP] for k in (0, 2))
    assert np.abs(255 - original - inverted).max() <= 1


def test_boxes_are_drawn(drawn, recipe_file, tmp_path):
    path = tmp_path / "boxes-000000.tar"
    with tarfile.open(path, "w") as tar:
        for key, _, jpeg in drawn[:2]:
            note = json.dumps({"boxes": [[10, 10, 60, 60]], "keypoints": [[[30, 30, 2]]]}).encode()
            for suffix, data in (("jpg", jpeg), ("cls", b"1"), ("json", note)):
                info = tarfile.TarInfo(f"{key}.{suffix}")
                info.size = len(data)
                tar.addfile(info, BytesIO(data))
    output = tmp_path / "picture.png"
    assert main(["preview", str(recipe_file), str(path), "-o", str(output), "--rows", "1", "--boxes", "json"]) == 0
    picture = np.asarray(Image.open(output))[HEAD:, GAP : GAP + TILE]
    assert ((picture == (255, 64, 64)).all(axis=-1)).sum() > 50
    assert ((picture == (64, 224, 96)).all(axis=-1)).sum() > 5


@pytest.mark.parametrize("name", ["nothing", "missing.json", "json:nothing", "no_such_module:recipe", "os:getcwd"])
def test_what_is_no_recipe_is_an_error_that_says_so(name, drawn, tmp_path, capsys):
    shard = write_shard(tmp_path / "x-000000.tar", drawn[:2])
    assert main(["preview", name, str(shard)]) != 0
    assert "RECIPE" in capsys.readouterr().err


def test_operations_stand_still_at_a_level():
    still = at_level(ops.Rotate(degrees=(10, 30), probability=0.2), 0.5)
    size = np.array([40.0, 40.0])
    expected = ops.Rotate(degrees=(20, 20)).matrix(np.zeros((2, 1)), size, size)
    np.testing.assert_allclose(still.matrix(np.array([[0.1], [0.9]]), size, size), expected)
    assert still.probability == 1.0


def test_columns_of_a_recipe_without_random_numbers_are_one_each():
    recipe = Recipe([ops.Resize(32), ops.Grayscale(probability=1.0)], output=Output(dtype="uint8"))
    assert [title for title, _, _ in columns(recipe)] == ["original", "Resize", "Grayscale"]
