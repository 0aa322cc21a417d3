"""Golden values, a JSON file for each subject; the file says what it holds and where it is from."""

import json
from pathlib import Path


def golden(name):
    """What tests/goldens/<name>.json holds."""
    return json.loads(Path(__file__).with_name(f"{name}.json").read_text())
