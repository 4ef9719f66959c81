# `make fit` trains on the embedded faces; `make test` runs the fast tests. Each installs what it
# needs into .venv, once: the stamps below are renewed only when pyproject.toml changes.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
PY := $(VENV)/bin/python

# One thread for each worker: two workers that each ask for all cores slow one another down.
PYTEST = OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) --dist worksteal

.PHONY: fit test test-all lint types format results clean help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## / - /'

fit: $(VENV)/.installed  ## train a small network on embedded synthetic faces, into runs/
	$(PY) -m lit_landmarks fit --config configs/quick.yaml

test: $(VENV)/.installed-dev  ## fast tests, about four minutes on 2 cores
	$(PYTEST) -m "not slow"

test-all: $(VENV)/.installed-dev  ## the slow tests that `make test` leaves out
	$(PYTEST) -m slow

lint: $(VENV)/.installed-dev types  ## ruff, its formatter in check mode, and mypy
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: $(VENV)/.installed-dev  ## mypy --strict
	$(PY) -m mypy --strict lit_landmarks

format: $(VENV)/.installed-dev  ## let ruff rewrite what it can
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

results: $(VENV)/.installed  ## regenerate the tables in READMEs from the results files
	$(PY) -m lit_landmarks results write

clean:  ## remove the environment and the caches, never runs/
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(PY):
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(PY)
	$(PY) -m pip install --quiet -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(PY)
	$(PY) -m pip install --quiet -e ".[dev,bench]"
	touch $@ $(VENV)/.installed
