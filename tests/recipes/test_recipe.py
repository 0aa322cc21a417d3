"""The rules of a recipe, and how errors say them."""

import dataclasses

import numpy as np
import pytest
from goldens import golden

from streamaug import geometry, ops, recipes
from streamaug.errors import RecipeError
from streamaug.recipes.output import Output
from streamaug.recipes.recipe import Recipe, border

CROP = ops.RandomResizedCrop(64)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Recipe([]), "fixed size"),
        (lambda: Recipe(None), r"Recipe\.operations: must be a sequence, got None"),
        (lambda: Recipe(CROP), r"Recipe\.operations: must be a sequence, got RandomResizedCrop"),
        (lambda: Recipe([CROP], views=5), r"Recipe\.views: must be a sequence, got 5"),
        (lambda: Recipe([ops.HorizontalFlip()]), "fixed size"),
        (lambda: Recipe([ops.ResizeShortest(64)]), "fixed size"),
        (lambda: Recipe([ops.CenterCrop(64)]), "ResizeShortest"),
        (lambda: Recipe([ops.ResizeShortest(32), ops.CenterCrop(64)]), "must not exceed"),
        (lambda: Recipe([ops.Rotate(degrees=5), CROP]), "first operation must set a size"),
        (lambda: Recipe([CROP, ops.GaussianBlur(), ops.Rotate(degrees=5)]), "before GaussianBlur"),
        (lambda: Recipe([CROP, ops.GaussianBlur(), ops.HorizontalFlip()]), "before GaussianBlur"),
        (
            lambda: Recipe([CROP, ops.Rotate(degrees=5, border="reflect"), ops.Affine(border="wrap")]),
            "borders of all operations that name one must agree",
        ),
        (
            lambda: Recipe([CROP, ops.Rotate(degrees=5, fill=1), ops.Perspective(fill=2)]),
            "borders of all operations that name one must agree",
        ),
        (lambda: Recipe([CROP, ops.Resize(32, antialias=False)]), "must agree"),
        (lambda: Recipe([CROP, "flip"]), "must be operations"),
        (lambda: Recipe([CROP], output="uint8"), "must be an Output"),
        (lambda: Recipe([CROP], views=[[], [ops.CenterCrop(32)]]), "one size"),
        (lambda: Output(dtype="int8"), "dtype"),
        (lambda: Output(dtype="uint8", mean=1.0), "must not be normalised"),
        (lambda: Output(std=(1, 0, 1)), "std"),
        (lambda: Output(mean="x"), "mean"),
        (lambda: Output(mean=(0.485, 0.456, 0.406)), r"mean: .* 0\.\.255, got .*Write \(123.675, 116.28, 103.53\)"),
        (lambda: Output(std=(0.229, 0.224, 0.225)), r"std: .* 0\.\.255, got .*Write \(58.395, 57.12, 57.375\)"),
        (lambda: Output(mean=0.5), r"Write \(127.5, 127.5, 127.5\)"),
        (lambda: Output(mean=0, std=(1.0, 0.5, 1.0)), r"Write \(255.0, 127.5, 255.0\)"),
        (lambda: recipes.imagenet_tta("eleven_crop"), "eleven_crop"),
        (lambda: ops.RandomResizedCrop(8, scale=(0.5, 0.1)), r"Write \(0.1, 0.5\)"),
        (lambda: ops.Resize(8, interpolation="cubic"), "bicubic"),
        (lambda: ops.Resize(8, interpolation="bicubic", antialias=False), "antialias"),
        (lambda: ops.Rotate(degrees=(30, 10)), r"low must not exceed high, got \(30, 10\). Write \(10, 30\)"),
    ],
)
def test_what_makes_no_sense_is_refused(build, message):
    with pytest.raises(RecipeError, match=message):
        build()


def test_what_makes_sense_is_accepted():
    point_first = Recipe([CROP, ops.ColorJitter(hue=0.1), ops.Rotate(degrees=5)])
    assert point_first.size == (64, 64)
    assert Recipe([ops.HorizontalFlip(), ops.ResizeShortest(80), ops.CenterCrop((64, 48))]).size == (64, 48)
    # The fill matters for a constant border only.
    Recipe([CROP, ops.Rotate(degrees=5, border="wrap", fill=3), ops.Affine(border="wrap", fill=9)])
    Recipe([CROP, ops.Rotate(degrees=5, fill=3), ops.RotateCrop(degrees=4), ops.Perspective(fill=3)])


def test_recipes_are_values():
    assert recipes.imagenet_train() == recipes.imagenet_train()
    assert recipes.imagenet_train() != recipes.imagenet_train(flip=0.4)
    assert len({recipes.imagenet_tta(), recipes.imagenet_tta(), recipes.imagenet_eval()}) == 2
    assert ops.Rotate(degrees=10) == ops.Rotate(degrees=(-10, 10))
    with pytest.raises(AttributeError):
        recipes.imagenet_eval().views = ()


@pytest.mark.parametrize(("width", "height", "degrees", "inner_width", "inner_height"), golden("rotation")["rows"])
def test_inscribed_rectangle(width, height, degrees, inner_width, inner_height):
    found = geometry.inscribed_rectangle(width, height, degrees)
    assert found == pytest.approx((inner_width, inner_height), abs=1e-3)
    assert geometry.inscribed_rectangle(height, width, degrees) == pytest.approx(found[::-1])


def test_homography_takes_the_points_there():
    rng = np.random.default_rng(0)
    source = np.array([[0, 0], [9, 0], [9, 5], [0, 5]]) + rng.uniform(-1, 1, (50, 4, 2))
    target = np.array([[0, 0], [4, 0], [4, 8], [0, 8]]) + rng.uniform(-1, 1, (50, 4, 2))
    np.testing.assert_allclose(
        geometry.transform_points(geometry.homography(source, target), source), target, atol=1e-9
    )


_NESTED = Recipe(
    [
        ops.Letterbox((40, 64), fill=(124, 116, 104)),
        ops.RandomCrop(32, padding=2),
        ops.Pad(amount=(1, 2, 3, 4)),
        ops.RandomChoice(
            [ops.Invert(), ops.RandomChoice([ops.Gamma(gamma=2), ops.Rotate(degrees=9, probability=0.3)])],
            weights=(1, 3),
            probability=0.4,
        ),
        ops.Pad(size=60),
    ]
)
_EVERYTHING = [
    _NESTED,
    recipes.imagenet_train(jitter=0.4, antialias=False),
    recipes.imagenet_eval(interpolation="lanczos", dtype="uint8"),
    recipes.imagenet_tta("ten_crop"),
    Recipe(
        [CROP, ops.Rotate(degrees=5, border="wrap"), ops.GaussianBlur()], Output(mean=(1, 2, 3), channels_last=True)
    ),
]


@pytest.mark.parametrize("recipe", _EVERYTHING)
def test_json_gives_the_same_recipe(recipe):
    text = recipe.to_json()
    assert Recipe.from_json(text) == recipe
    assert Recipe.from_json(text).to_json() == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no json", "what to_json wrote"),
        ("[]", "what to_json wrote"),
        (Recipe([CROP]).to_json().replace('"version": 1', '"version": 9'), "version"),
        (Recipe([CROP]).to_json().replace("RandomResizedCrop", "os.system"), "os.system"),
        (Recipe([CROP]).to_json().replace("antialias", "anti"), "no fields"),
        (Recipe([CROP]).to_json().replace("0.08", "-1"), "scale"),
    ],
)
def test_json_of_something_else_is_refused(text, message):
    with pytest.raises(RecipeError, match=message):
        Recipe.from_json(text)


def test_a_recipe_describes_itself():
    lines = recipes.imagenet_tta("hflip").describe().splitlines()
    assert lines[0].split() == ["operation", "kind", "chance", "parameters"]
    assert lines[1].split() == ["ResizeShortest", "geometry", "1", "size", "256"]
    assert [line.split()[0] for line in lines] == [
        "operation", "ResizeShortest", "view", "CenterCrop", "view", "CenterCrop", "HorizontalFlip", "output",
    ]  # fmt: skip
    assert "3×224×224" in lines[-1]


def test_what_lies_within_an_operation_is_described_below_it():
    rows = [line.split(maxsplit=3) for line in _NESTED.describe().splitlines()]
    assert [row[0] for row in rows[1:-1]] == [
        "Letterbox", "RandomCrop", "Pad", "RandomChoice", "Invert", "RandomChoice", "Gamma", "Rotate", "Pad",
    ]  # fmt: skip
    assert "geometry and photometry  0.4     weights (1.0, 3.0)" in _NESTED.describe()
    assert rows[3] == ["Pad", "geometry", "1", "amount (1, 2, 3, 4)"]
    assert rows[8] == ["Rotate", "geometry", "0.3", "degrees (-9.0, 9.0)"]
    assert rows[9] == ["Pad", "geometry", "1", "size (60, 60)"]
    assert "\n  Invert " in _NESTED.describe()
    assert "\n    Gamma " in _NESTED.describe()


def test_an_operation_of_ones_own_comes_back_from_within_a_choice():
    @dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
    class Nothing(ops.Geometric):
        shift: float = 1.0

        def matrix(self, draws, height, width):
            return self.unselected(height, width)

    recipe = Recipe([ops.Resize(8), ops.RandomChoice([Nothing(shift=2.0), ops.Invert()])])
    assert Recipe.from_json(recipe.to_json(), operations=[Nothing]) == recipe
    with pytest.raises(RecipeError, match="Nothing"):
        Recipe.from_json(recipe.to_json())


def test_an_operation_that_names_no_border_takes_that_of_the_others():
    for operations, expected in (
        ([ops.Rotate(degrees=5), ops.Affine(border="wrap"), ops.Perspective()], ("wrap", 0.0)),
        ([ops.Rotate(degrees=5), ops.Affine(fill=7)], ("constant", 7.0)),
        ([ops.Rotate(degrees=5), ops.Affine(fill=[1, 2, 3])], ("constant", (1.0, 2.0, 3.0))),
        ([ops.Rotate(degrees=5, border="constant"), ops.Affine(fill=7)], ("constant", 7.0)),
        ([ops.Rotate(degrees=5), ops.Affine()], ("constant", 0.0)),
        ([ops.RotateCrop(degrees=5)], None),
    ):
        assert border([CROP, *operations]) == expected
        Recipe([CROP, *operations])
