"""The package as a whole: its public names, and what importing it costs."""

import subprocess
import sys

import streamaug

PUBLIC = [
    "ShardSet",
    "SampleOrder",
    "ShardReader",
    "Augmenter",
    "Mixup",
    "CutMix",
    "MixupOrCutMix",
    "TestTimeAugment",
    "Recipe",
    "Output",
    "Annotations",
    "Origin",
    "EncodedBatch",
    "Batch",
    "Prediction",
    "MixPlan",
    "StorageOptions",
    "StreamaugError",
    "ShardError",
    "IndexFormatError",
    "StorageError",
    "BadSampleError",
    "RecipeError",
    "StateError",
    "TargetError",
]


def test_the_public_names_are_there():
    assert set(PUBLIC) <= set(streamaug.__all__)
    assert all(getattr(streamaug, name) is not None for name in streamaug.__all__)


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_does_not_import_dali():
    assert run("import sys, streamaug; print('nvidia.dali' in sys.modules)") == "False"


def test_importing_takes_less_than_a_second_beyond_torch():
    code = "import time, torch; start = time.process_time(); import streamaug; print(time.process_time() - start)"
    assert min(float(run(code)) for _ in range(3)) < 1.0


def test_every_error_has_the_root_and_survives_pickling():
    code = (
        "import pickle, streamaug.errors as e\n"
        "kinds = [k for k in vars(e).values() if isinstance(k, type)]\n"
        "assert all(issubclass(k, e.StreamaugError) for k in kinds) and len(kinds) == 8\n"
        "assert all(str(pickle.loads(pickle.dumps(k('text')))) == 'text' for k in kinds)\n"
        "print('ok')"
    )
    assert run(code) == "ok"
