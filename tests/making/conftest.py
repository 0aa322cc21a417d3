"""Workers are forked here, though earlier tests may have left threads behind: fresh ones import everything first."""

import pytest


@pytest.fixture(autouse=True)
def forking(monkeypatch):
    monkeypatch.setattr("streamaug.making.make.may_fork", lambda: True)
