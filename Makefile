# Everything from a fresh clone: `make demo`, `make test`. Each target makes .venv when it is missing or stale.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# Azure's own emulator, for the tests of signed az:// URLs; they are skipped where there is no npm.
AZURITE := $(VENV)/azurite/node_modules/azurite/package.json

.PHONY: demo test check bench format clean

$(STAMP): pyproject.toml constraints.txt
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(STAMP)
	$(RUN) pipelines/demo.py --output demo

test: $(STAMP) $(AZURITE)
	$(RUN) -m pytest tests

$(AZURITE): $(STAMP)
	-command -v npm > /dev/null && npm install --prefix $(VENV)/azurite --silent --no-audit --no-fund --ignore-scripts azurite@3.37.0

check: $(STAMP)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports

bench: $(STAMP)
	$(RUN) benchmarks/loader.py

format: $(STAMP)
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

clean:
	rm -rf $(VENV) demo .mypy_cache .ruff_cache .pytest_cache
