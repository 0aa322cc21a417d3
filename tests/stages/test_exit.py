"""A chain that is read in an atexit handler gives its batches or an error that says what to do; nothing hangs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from image_forms import PICTURE
from pictures import encoded
from shards_on_disk import write_shards
from watching import PATIENCE

import streamaug as sa

PROGRAM = """
import atexit, sys
url, registered, begun = sys.argv[1:]

def read():
    try:
        print("batches:", sum(1 for _ in stream))
    except RuntimeError as error:
        print(f"{type(error).__name__}: {error}")
    except sa.StreamaugError as error:
        print(f"{type(error).__name__}: {error}")

if registered == "before":
    atexit.register(read)
import streamaug as sa
shards = sa.ShardSet.open(url, components=("tif;jpg", "cls"))
recipe = sa.Recipe([sa.ops.Resize(16)])
chain = sa.ShardReader(shards, batch_size=8).augment(recipe, device="cpu", num_threads=2)
stream = iter(chain)
if begun == "begun":
    next(stream)
elif begun == "used":
    list(chain)
    stream = iter(chain)
if registered == "behind":
    atexit.register(read)
"""
NO_THREADS = sys.version_info >= (3, 12)  # an interpreter that ends starts no more threads there


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Six batches of 8, which Pillow decodes."""
    picture = encoded(PICTURE, "TIFF", compression="tiff_lzw")
    samples = [(f"s{number:02d}", 0, picture) for number in range(48)]
    return write_shards(tmp_path_factory.mktemp("exit"), "x", samples, [24, 24])


def printed(url, registered, begun):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(url), registered, begun],
        env=os.environ | {"PYTHONPATH": str(Path(sa.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    ).stdout


@pytest.mark.slow
@pytest.mark.parametrize("registered", ["before", "behind"])
@pytest.mark.parametrize("begun", ["fresh", "begun", "used"])
def test_a_chain_read_at_the_exit_gives_all_batches_or_says_what_to_do(url, registered, begun):
    out = printed(url, registered, begun)
    if begun != "begun" and NO_THREADS:
        assert "can't create new thread at interpreter shutdown" in out
    elif registered == "before" and begun != "fresh":
        assert out.startswith("StreamaugError: chain: must be read before the interpreter's exit frees its pipelines")
        assert "Register the handler after the first batch." in out
    else:
        assert out == f"batches: {5 if begun == 'begun' else 6}\n"
