# Every target makes the environment it needs, and brings it up to date when pyproject.toml changes.
# Options: PYTHON=python3.12 (interpreter; its environment is .venv-3.12), VENV=folder (of the environment; .venv),
# JOBS=4 (processes), ARGS="-k ode" (for pytest).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

JOBS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
ARGS ?=
VENV ?= .venv$(if $(PYTHON),-$(shell .ci/find-python --version $(PYTHON) 2>/dev/null))
override VENV := $(VENV)
LOWEST := .venv-lowest
BIN := $(VENV)/bin
READY := $(VENV)/.installed
# One thread per process: small networks are slower on two, and the processes already fill the cores.
# Byte code is kept even where the environment forbids it: jaxtyping's hook compiles what checked modules import, pandas and
# torch's compiler too, into files of its own, which takes 10 s of each process that collects tests.
# Each environment remembers its own failures: suites of two versions of Python may run side by side.
PYTEST = PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -o cache_dir=$(BIN:bin=.pytest_cache)
# A test that failed beside others, perhaps because the machine was busy, is repeated once, alone. pytest's exit code is 1 only
# if all tests ran (tests/conftest.py): a suite that was cut short fails at once.
define TEST
@code=0; $(PYTEST) -n $(JOBS) --dist worksteal $(1) $(ARGS) || code=$$?; \
if [ $$code = 1 ]; then \
  printf '\nrepeating the tests that failed, alone:\n'; \
  $(PYTEST) -n 0 --last-failed --last-failed-no-failures none -rpfE $(1) $(ARGS); \
  echo "PASSED ALONE, but failed beside other tests: the tests listed above"; \
else exit $$code; fi
endef

.PHONY: help install reproduce reproduce-all studies figures bench smoke test test-fast test-lowest test-wheel lint check docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(READY) ## make the environment and install genbench into it
	@echo "ready: . $(BIN)/activate"

reproduce: $(READY) ## train a sample of the published cells again, into reproduced/, and say how far they agree (15 minutes)
	$(BIN)/python -m benchmarks.reproduction plane-v1 digits-v1 --jobs $(JOBS)

# Without latents-v1, whose images every run needs by --set data.path, and cifar10-v1, which has no results yet.
reproduce-all: $(READY) ## train all published cells of plane-v1, transport-v1, maps-v1 and digits-v1 again (says first about how long)
	$(BIN)/python -m benchmarks.reproduction plane-v1 transport-v1 maps-v1 digits-v1 --whole --jobs $(JOBS)

# In order of cost. The first lines of each file state its question and its cost.
STUDIES ?= kappa wcfm-toys tutorial batch balanced tong conditions couplings couplings-dims couplings-digits few-steps large-batches maps-equal-steps drifting digits-long error-budget error-budget-tasks
studies: $(READY) ## run the studies (hours; only what is missing), write the report again
	for study in $(STUDIES); do $(BIN)/genbench sweep benchmarks/studies/$$study.toml --jobs $(JOBS); done
	$(BIN)/python -m benchmarks.published
	$(BIN)/genbench report

figures: $(READY) ## draw the picture of the README (5 minutes: trains its eight models)
	$(BIN)/python -m benchmarks.figures

bench: $(READY) ## compare the speed with other libraries (15 minutes on a quiet machine), and write results/perf.md
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,perf]'
	$(BIN)/python benchmarks/perf/bench.py --results results
	$(BIN)/python benchmarks/perf/scaling.py --results results

smoke: $(READY) ## train, sample and evaluate on 2D data in under a minute, in a temporary folder
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	$(BIN)/genbench sweep smoke --jobs $(JOBS) --results "$$folder"

test: $(READY) ## run every test and doctest
	$(call TEST)

test-fast: $(READY) ## run the tests of less than ten seconds
	$(call TEST,-m "not slow")

test-lowest: BIN := $(LOWEST)/bin
test-lowest: $(LOWEST)/.installed ## run the fast tests with the lowest versions that pyproject.toml allows
	$(call TEST,-m "not slow")

check: lint ## lint and every test: what a change must pass
	$(call TEST)

lint: $(READY) ## style, format, types, layers of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-logo

test-wheel: ## install the wheel into an empty environment, and rank a model of one's own with it in an empty folder
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	mkdir "$$folder/source"; cp -r pyproject.toml README.md LICENSE genbench "$$folder/source"; \
	"$$(.ci/find-python $(PYTHON))" -m venv "$$folder/venv"; \
	"$$folder/venv/bin/python" -m pip wheel --quiet --no-deps --wheel-dir "$$folder" "$$folder/source"; \
	"$$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$$folder"/genbench-*.whl; \
	mkdir "$$folder/empty"; cd "$$folder/empty"; export GENBENCH_HOME="$$folder/home" OMP_NUM_THREADS=1; \
	../venv/bin/genbench sweep smoke --jobs $(JOBS) >/dev/null; \
	../venv/bin/genbench new model mine; \
	../venv/bin/genbench sweep plane-v1 --model mine.py --dataset moons --jobs $(JOBS) >/dev/null; \
	../venv/bin/genbench leaderboard | tee board; grep -q '^cfm ' board; grep -q '^mine .*lacks' board

docs: $(READY) ## build the documentation into site/, strictly and offline; its tutorials are executed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean: ## remove environments, caches and build leftovers; results stay
	rm -rf .venv .venv-* build dist site ./*.egg-info .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml
	@if ! .ci/find-python $(BIN)/python >/dev/null 2>&1; then \
	  python=$$(.ci/find-python $(PYTHON)); \
	  "$$python" -m venv --clear $(VENV); \
	fi; \
	echo "installing genbench into $(VENV) (a few minutes the first time)"; \
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(LOWEST)/.installed: pyproject.toml
	@python=$$(.ci/find-python $(or $(PYTHON),python3.11 python3)); "$$python" -m venv --clear $(LOWEST)
	@echo "installing the lowest versions of all dependencies into $(LOWEST) (a few minutes)"
	@$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	@$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --editable '.[dev]'
	@touch $@
