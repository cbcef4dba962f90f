# SPDX-License-Identifier: Apache-2.0
# `make` without a target says what there is.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Tests and compilers side by side; each may take 1 GB of memory.
JOBS ?= 2
STAMP := $(VENV)/.plosive-setup

PYTEST = $(BIN)/python -m pytest -n $(JOBS) \
	--cov=hw --cov=golden_model --cov=flows --cov-report=term:skip-covered

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all bench baselines results results-hardware lint format clean

help:  ## say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP)  ## make .venv with the pinned dependencies and the command .venv/bin/plosive

# Rebuilt when a dependency moved. Remade whole only if the Python in it no longer starts.
$(STAMP): requirements.lock pyproject.toml
	@missing=0; \
	need() { echo "make setup: $$1 was not found: it is needed to $$2; install the Debian package $$3" >&2; missing=1; }; \
	command -v $(PYTHON) >/dev/null || need $(PYTHON) "run everything" python3.11; \
	command -v g++ >/dev/null || need g++ "compile the simulation models" g++; \
	command -v perl >/dev/null || need perl "start Verilator" perl; \
	if command -v $(PYTHON) >/dev/null; then \
		$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || need "Python's venv" "make .venv" python3.11-venv; \
	fi; \
	exit $$missing
	@echo "make setup: installing into $(VENV)"
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c 'from flows.tools.toolchain import python_library, versions; \
		python_library(); print("make setup: ready,", ", ".join(f"{k} {v}" for k, v in versions().items()))'
	@touch $@

demo: $(STAMP)  ## a spoken sentence from WAV to phones: network, golden model and Verilog, compared; a report
	$(BIN)/plosive demo

test: $(STAMP)  ## every test but the slow ones, with the line coverage of hw, golden_model, flows
	$(PYTEST)

test-all: $(STAMP)  ## every test, the slow ones (mutants, long runs) too
	$(PYTEST) -m "slow or not slow" -rA

bench: $(STAMP)  ## measure speed of elaboration, build, simulation; area, clocks, cycles beside their baselines
	$(BIN)/python -m flows.measure.bench

baselines: $(STAMP)  ## make what area, clocks and cycles are now the baselines that `make test` holds
	$(BIN)/python -m flows.measure.baselines --update

results: $(STAMP) results-hardware  ## measure, and train, what docs/results.md shows, too (hours; what is kept is not done again)
	$(BIN)/python -m model_zoo.studies.results --jobs $(JOBS)

results-hardware: $(STAMP)  ## measure what docs/hardware-results.md and the table in README.md show
	$(BIN)/python -m flows.measure.hardware_results

lint: $(STAMP)  ## check style and formatting; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)  ## bring the sources into the form that `make lint` wants
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what was built; keeps .venv
	rm -rf build .pytest_cache .hypothesis .ruff_cache .coverage .coverage.*
