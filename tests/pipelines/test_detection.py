"""The detection program runs, and draws boxes around what it drew."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from watching import PATIENCE

PROGRAM = Path(__file__).resolve().parents[2] / "pipelines" / "detection.py"

pytestmark = pytest.mark.slow


def test_boxes_are_drawn_around_the_shapes(tmp_path):
    output = tmp_path / "picture.png"
    command = [sys.executable, str(PROGRAM), "--output", str(output), "--size", "160"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    assert words[:2] == ["128", "images,"]
    assert 128 <= int(words[2]) <= 128 * 4
    picture = np.asarray(Image.open(output))
    assert picture.shape == (320, 640, 3)
    assert (picture == 255).all(axis=-1).sum() > 1000  # the outlines
    assert (picture == 20).all(axis=-1).sum() > 100  # the keypoints
