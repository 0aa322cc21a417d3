"""streamaug, one of the recipes that the peers have too."""

from turns import arguments, take_turns

from streamaug import Output, Recipe, ShardReader, ShardSet, ops, recipes
from streamaug.recipes.imagenet import IMAGENET_MEAN, IMAGENET_STD


def recipe_of(name: str) -> Recipe:
    if name in ("crop_flip", "crop_flip_one_warp"):
        return recipes.imagenet_train(antialias=name == "crop_flip")
    normalised = Output(mean=IMAGENET_MEAN, std=IMAGENET_STD)
    if name in ("trivial_augment", "trivial_augment_one_warp"):
        return recipes.imagenet_train(policy=ops.TrivialAugmentWide(), antialias=name == "trivial_augment")
    return Recipe(
        [
            ops.RandomResizedCrop(224, antialias=False),
            ops.HorizontalFlip(),
            ops.Rotate(degrees=15),
            ops.Perspective(distortion_scale=0.2),
            ops.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
            ops.GaussianBlur(sigma=(0.1, 2.0)),
            ops.GaussianNoise(std=(0.0, 0.05)),
            ops.Erase(area=(0.02, 0.2), probability=1.0),
        ],
        output=normalised,
    )


def main() -> None:
    recipe, shards, threads = arguments()
    reader = ShardReader(ShardSet.open(shards), batch_size=64, window=2048)
    pipe = reader.augment(recipe_of(recipe), device="cpu", num_threads=threads)

    def epoch() -> int:
        return sum(len(batch.images) for batch in pipe)

    take_turns(epoch, f"streamaug, {recipe}")


if __name__ == "__main__":
    main()
