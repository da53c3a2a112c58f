# Every target sets up what it needs: .venv is made on demand and brought up to date when pyproject.toml changes.
# Options: PYTHON=python3.12 (the interpreter .venv is made with), JOBS=4 (processes), ARGS="-k ode" (for pytest).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

JOBS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
ARGS ?=
BIN := .venv/bin
READY := .venv/.installed
# One thread a process: small nets stall on two, and the processes fill the cores already.
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

.PHONY: help install reproduce studies bench smoke test check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(READY) ## make .venv and install genbench into it

reproduce: $(READY) ## run the CPU suites (only what is missing) and write their tables and a report under results/
	$(BIN)/genbench sweep genbench/suites/synthetic.toml --jobs $(JOBS)
	$(BIN)/genbench sweep genbench/suites/digits.toml --jobs $(JOBS)
	$(BIN)/genbench calibrate
	$(BIN)/genbench report results --html results/report.html

# Cheap ones first; each says in its first lines what it asks and what it costs.
STUDIES ?= kappa wcfm-toys tutorial batch balanced tong
studies: $(READY) ## run the studies (hours; only what is missing), choose kappa by the elbow, write the report again
	for study in $(STUDIES); do $(BIN)/genbench sweep benchmarks/studies/$$study.toml --jobs $(JOBS); done
	for data in 8gaussians moons 8gaussians-moons gaussians-5gaussians; do $(BIN)/genbench tune wcfm --dataset $$data; done
	$(BIN)/genbench report results --html results/report.html

bench: $(READY) ## time genbench beside its peers, a quarter of an hour on a quiet machine, and write results/perf.md
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,perf]'
	$(BIN)/python benchmarks/perf/bench.py --results results
	$(BIN)/python benchmarks/perf/scaling.py --results results

smoke: $(READY) ## train, sample and evaluate on 2D data in under a minute, in a temporary folder
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	$(BIN)/genbench sweep genbench/suites/smoke.toml --jobs $(JOBS) --results "$$folder"

test: $(READY) ## run every test and doctest
	$(PYTEST) $(ARGS)

check: $(READY) ## lint, format, types, layers, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo
	$(PYTEST) $(ARGS)

clean: ## remove .venv, caches and build leftovers; results stay
	rm -rf .venv build dist ./*.egg-info .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Candidates are run, not only looked up: a name on the PATH may be a stub, or lack the venv module.
$(READY): pyproject.toml
	@good() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }; \
	if ! good $(BIN)/python; then \
	  for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
	    if good "$$python" && "$$python" -c 'import ensurepip, venv' 2>/dev/null; then found=$$python; break; fi; \
	  done; \
	  if [ -z "$${found:-}" ]; then \
	    echo "genbench needs Python 3.11 or newer with its venv module, which $(or $(PYTHON),this machine) lacks:" \
	      "install it (Debian: python3-venv) or name one, as in make PYTHON=/path/to/python3.11" >&2; \
	    exit 1; \
	  fi; \
	  "$$found" -m venv --clear .venv; \
	fi; \
	echo "installing genbench into .venv (a minute or two the first time)"; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
