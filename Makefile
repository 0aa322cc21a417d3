# Everything from a fresh clone: `make demo`, `make test`. Each target makes .venv when it is missing or stale.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# A second environment, with the lowest versions that pyproject.toml allows.
MINIMUM := .venv-minimum
MINIMUM_STAMP := $(MINIMUM)/.installed
# A third one, with the frameworks whose training loops tests/frameworks runs, in the versions of constraints-frameworks.txt.
FRAMEWORKS := .venv-frameworks
FRAMEWORKS_STAMP := $(FRAMEWORKS)/.installed
# A fourth one, with the tools that build and look into what would be published.
DIST := .venv-dist
DIST_STAMP := $(DIST)/.installed
# Azure's own emulator, for the tests of signed az:// URLs; they are skipped where there is no npm.
AZURITE := $(VENV)/azurite/node_modules/azurite/package.json

.PHONY: demo test test-fast test-frameworks check check-minimum bench peers chaos gpu docs dist format clean

$(STAMP): pyproject.toml constraints.txt
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(STAMP)
	$(RUN) pipelines/demo.py --output demo

# RERUNS=1 gives a test that failed a second try, and prints the failure all the same.
RERUNS ?= 0
# By two processes: many tests wait for programs and servers that they start.
test: $(STAMP) $(AZURITE)
	$(RUN) -m pytest tests -n 2 --dist worksteal --reruns $(RERUNS) --rerun-show-tracebacks

# Without the tests that are marked slow: what to run while working.
test-fast: $(STAMP)
	$(RUN) -m pytest tests -n 2 --dist worksteal -m "not slow"

$(AZURITE): $(STAMP)
	-command -v npm > /dev/null && npm install --prefix $(VENV)/azurite --silent --no-audit --no-fund --ignore-scripts azurite@3.37.0

check: $(STAMP)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports

# The tests that are not slow, with the lowest versions of what the package depends on.
check-minimum: $(MINIMUM_STAMP)
	$(MINIMUM)/bin/python -m pytest tests -n 2 --dist worksteal -m "not slow"

$(MINIMUM_STAMP): pyproject.toml constraints-minimum.txt
	test -x $(MINIMUM)/bin/python || $(PYTHON) -m venv $(MINIMUM)
	$(MINIMUM)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-minimum.txt -e '.[dev]'
	touch $@

# Chains in other people's training loops: the only tests that `make test` does not run, since they need an environment
# of several frameworks. timm is installed without what it depends on: its torchvision does not fit torch's CPU build.
test-frameworks: $(FRAMEWORKS_STAMP)
	$(FRAMEWORKS)/bin/python -m pytest tests/frameworks --reruns $(RERUNS) --rerun-show-tracebacks

$(FRAMEWORKS_STAMP): pyproject.toml constraints-frameworks.txt
	test -x $(FRAMEWORKS)/bin/python || $(PYTHON) -m venv $(FRAMEWORKS)
	$(FRAMEWORKS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-frameworks.txt \
		-e . pytest pytest-rerunfailures hypothesis lightning accelerate transformers 'ray[train]'
	$(FRAMEWORKS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-frameworks.txt --no-deps timm
	touch $@

# The benchmarks of speed with few rounds, planned for less than 30 minutes on two quiet cores, then the README's table of them.
# `benchmarks/gpu.py`, `order.py` (docs/scale.md), `determinism.py` and `accuracy.py` are run by themselves.
# `make peers` first makes environments of the peers; without them the table compares with DALI alone.
PEERS := build/peers
bench: $(STAMP)
	$(RUN) benchmarks/bench.py --peers $(PEERS)

peers: $(STAMP)
	$(RUN) benchmarks/peers/environments.py $(PEERS)

# Trains on 1 to 4 processes, is killed twenty times, and was given the rows of an unbroken run, see docs/determinism.md.
SEED ?= 0
chaos: $(STAMP)
	$(RUN) benchmarks/chaos.py --kills 20 --seed $(SEED)

# The proof of the GPU path, see docs/gpu.md: tests, then benchmarks, within ten minutes on a GPU. Each probe that ended
# has a row in build/gpu.jsonl and does not run again; delete that file to begin anew. `make gpu DEVICE=cpu` is a dry run.
DEVICE ?= gpu
GPU_ROWS := build/gpu.jsonl
gpu: $(STAMP)
	STREAMAUG_GPU_DEVICE=$(DEVICE) STREAMAUG_GPU_ROWS=$(GPU_ROWS) $(RUN) -m pytest -q tests/gpu; tests=$$?; \
	$(RUN) benchmarks/gpu.py --device $(DEVICE) --out $(GPU_ROWS) && exit $$tests

# The pages, in build/docs/index.html; a warning is an error. They are built where the tests run, so that their pictures
# and their reference are of the code that is tested.
DOCS_STAMP := $(VENV)/.docs
docs: $(DOCS_STAMP)
	$(RUN) -m sphinx -W --keep-going -b html -d build/doctrees docs build/docs

$(DOCS_STAMP): $(STAMP) constraints-docs.txt
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -c constraints-docs.txt -e '.[docs]'
	touch $@

# Wheel and sdist in dist/, tried in a clean environment of each Python that is there, with licences and vulnerabilities
# of what they depend on. It says what it ran and what not. Nothing is uploaded.
PYTHONS ?= 3.11 3.12 3.13
dist: $(DIST_STAMP)
	$(DIST)/bin/python release/check_dist.py --pythons $(PYTHONS)

$(DIST_STAMP): constraints-dist.txt
	test -x $(DIST)/bin/python || $(PYTHON) -m venv $(DIST)
	$(DIST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-dist.txt build pip-audit pip-licenses twine
	touch $@

format: $(STAMP)
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

clean:
	rm -rf $(VENV) $(MINIMUM) $(FRAMEWORKS) $(DIST) build/docs build/doctrees dist demo docs/generated .mypy_cache .ruff_cache .pytest_cache
