# `make fit` trains on the built-in faces; `make test` runs the fast tests. Each installs what it
# needs into .venv, once: the stamps below are renewed only when pyproject.toml changes.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
PY := $(VENV)/bin/python

# What `make test-lowest` runs on, and where it keeps its environments (about 6 GB each with CUDA).
# `UV_FLAGS="--torch-backend cpu"` saves the download of CUDA.
PYTHON_OLDEST ?= python3.11
PYTHON_NEWEST ?= python3.13
LOWEST ?= .venv-lowest
UV := $(LOWEST)/uv/bin/uv
UV_FLAGS ?=

# One thread for each worker: two workers that each ask for all cores slow one another down.
PYTEST_FLAGS = -n $(WORKERS) --dist worksteal
PYTEST = OMP_NUM_THREADS=1 $(PY) -m pytest $(PYTEST_FLAGS)

.PHONY: fit test test-all test-lowest lint types format results docs build clean help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## / - /'

fit: $(VENV)/.installed  ## train a small network on built-in synthetic faces, into runs/
	$(PY) -m lit_landmarks fit --config configs/quick.yaml

test: $(VENV)/.installed-dev  ## fast tests and doctests, about nine minutes on 2 cores
	$(PYTEST) -m "not slow"

test-all: $(VENV)/.installed-dev  ## the slow tests that `make test` leaves out
	$(PYTEST) -m slow

test-lowest: $(LOWEST)/oldest/.installed $(LOWEST)/newest/.installed  ## fast tests with the lowest versions that pyproject.toml allows, on the oldest and the newest Python
	OMP_NUM_THREADS=1 $(LOWEST)/oldest/bin/python -m pytest $(PYTEST_FLAGS) -m "not slow"
	OMP_NUM_THREADS=1 $(LOWEST)/newest/bin/python -m pytest $(PYTEST_FLAGS) -m "not slow"

lint: $(VENV)/.installed-dev  ## ruff, its formatter in check mode, the floors, the dependencies
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(VENV)/bin/lint-imports --no-logo
	$(PY) -m deptry .

types: $(VENV)/.installed-dev  ## mypy --strict
	$(PY) -m mypy --strict lit_landmarks

format: $(VENV)/.installed-dev  ## let ruff rewrite what it can
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

results: $(VENV)/.installed  ## regenerate the tables in READMEs from the results files
	$(PY) -m lit_landmarks results write

docs: $(VENV)/.installed-dev  ## the documentation site, into site/
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --clean

build: $(VENV)/.installed-dev  ## a wheel and a source archive, into dist/
	$(PY) -m build

clean:  ## remove environments, builds and caches, never runs/
	rm -rf $(VENV) $(LOWEST) build dist site
	rm -rf .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(PY):
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(PY)
	$(PY) -m pip install --quiet -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(PY)
	$(PY) -m pip install --quiet -e ".[dev]"
	touch $@ $(VENV)/.installed

$(UV):
	$(PYTHON) -m venv $(LOWEST)/uv
	$(LOWEST)/uv/bin/python -m pip install --quiet uv

# Made anew when pyproject.toml changes: an upgrade in place would keep what is already there.
$(LOWEST)/oldest/.installed: BASE = $(PYTHON_OLDEST)
$(LOWEST)/newest/.installed: BASE = $(PYTHON_NEWEST)
$(LOWEST)/%/.installed: pyproject.toml | $(UV)
	$(UV) venv --quiet --clear --no-python-downloads --python $(BASE) $(@D)
	$(UV) pip install --quiet --python $(@D)/bin/python --only-binary :all: \
		--resolution lowest-direct $(UV_FLAGS) -r pyproject.toml --extra dev
	$(UV) pip install --quiet --python $(@D)/bin/python --no-deps -e .
	touch $@
