"""streamaug streams sharded WebDataset tars through one DALI graph into training loops.

    from streamaug import ShardReader, ShardSet, recipes

    shards = ShardSet.open("s3://bucket/train-{000000..001023}.tar")
    loader = (
        ShardReader(shards, batch_size=256)
        .augment(recipes.imagenet_train())
        .mixup_or_cutmix(num_classes=1000)
    )
    for batch in loader:
        batch.images, batch.targets

Importing this does not import DALI; building an `Augmenter` does.
"""

from streamaug import errors, geometry, mix, ops, order, random, recipes, tta
from streamaug.batch import Batch, EncodedBatch, Origin, Prediction
from streamaug.errors import (
    BadSampleError,
    IndexFormatError,
    RecipeError,
    ShardError,
    StateError,
    StorageError,
    StreamaugError,
    TargetError,
)
from streamaug.mix import MixPlan
from streamaug.ops.annotations import Annotations
from streamaug.ops.output import Output
from streamaug.order import SampleOrder
from streamaug.recipe import Recipe
from streamaug.shards import ShardSet
from streamaug.stages.augmenter import Augmenter, MapBatch
from streamaug.stages.mixing import CutMix, Mixup, MixupOrCutMix
from streamaug.stages.reader import ShardReader
from streamaug.stages.samples import MapSamples
from streamaug.stages.tta import TestTimeAugment
from streamaug.storage import StorageOptions

__all__ = [
    "Annotations",
    "Augmenter",
    "BadSampleError",
    "Batch",
    "CutMix",
    "EncodedBatch",
    "IndexFormatError",
    "MapBatch",
    "MapSamples",
    "MixPlan",
    "Mixup",
    "MixupOrCutMix",
    "Origin",
    "Output",
    "Prediction",
    "Recipe",
    "RecipeError",
    "SampleOrder",
    "ShardError",
    "ShardReader",
    "ShardSet",
    "StateError",
    "StorageError",
    "StorageOptions",
    "StreamaugError",
    "TargetError",
    "TestTimeAugment",
    "errors",
    "geometry",
    "mix",
    "ops",
    "order",
    "random",
    "recipes",
    "tta",
]
