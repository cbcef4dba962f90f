# SPDX-License-Identifier: Apache-2.0
# `make` without a target lists the targets.

# Another Python wants a folder of its own: make test-hardware PYTHON=python3.13 VENV=.venv-3.13
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
# How many tests or compilers run side by side; each may take 1 GB of memory.
JOBS ?= 2
STAMP := $(VENV)/.plosive-setup

# Tests of one group (`xdist_group`) run on one worker: they share models and boards.
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup
COVERAGE = --cov=hw --cov=golden_model --cov=flows --cov=plosive --cov-report=term:skip-covered
HARDWARE_TESTS = $(addprefix cocotb_tests/,blocks core formal golden serial shell \
	$(addprefix flows/,test_generate.py test_tool_runners.py test_toolchain.py))

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-hardware test-all bench baselines results results-hardware schedule lint format docs wheel clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP)  ## install the pinned dependencies and the command plosive into .venv

# Updated when a dependency has changed; made anew only if the Python in it no longer starts.
# In compat mode the checkout is on Python's path; otherwise a script beside a clone called "plosive"
# would import that folder as an empty package.
$(STAMP): requirements.lock pyproject.toml
	@missing=0; \
	need() { echo "make setup: $$1 was not found: it is needed to $$2; install the Debian package $$3" >&2; missing=1; }; \
	$(PYTHON) -c '' 2>/dev/null || need "a $(PYTHON) that starts" "run everything" $(notdir $(PYTHON)); \
	command -v g++ >/dev/null || need g++ "compile the simulation models" g++; \
	command -v perl >/dev/null || need perl "start Verilator" perl; \
	if $(PYTHON) -c '' 2>/dev/null; then \
		$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || need "Python's venv" "make $(VENV)" $(notdir $(PYTHON))-venv; \
	fi; \
	exit $$missing
	@echo "make setup: installing into $(VENV)"
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation \
		--config-settings editable_mode=compat --editable .
	@$(BIN)/python -c 'from flows.tools.toolchain import python_library, versions; \
		python_library(); print("make setup: ready,", ", ".join(f"{k} {v}" for k, v in versions().items()))'
	@touch $@

demo: $(STAMP)  ## take a spoken sentence from WAV to phones, compare every step, and draw a report
	$(BIN)/plosive demo

test: $(STAMP)  ## run every test but the slow ones, and show the line coverage
	$(PYTEST) $(COVERAGE)

test-hardware: $(STAMP)  ## run the tests of the hardware, its model and its tools; for other Pythons
	$(PYTEST) $(HARDWARE_TESTS)

test-all: $(STAMP)  ## run every test, also the slow ones (mutants, long runs)
	$(PYTEST) $(COVERAGE) -m "slow or not slow" -rA

bench: $(STAMP)  ## measure the speed of elaboration, build and simulation, and compare figures with their baselines
	$(BIN)/python -m flows.measure.bench

baselines: $(STAMP)  ## take today's area, clocks and cycles as the baselines that `make test` compares with
	$(BIN)/python -m flows.measure.baselines --update

results: $(STAMP) results-hardware  ## train and measure everything in docs/results.md (hours; finished parts are kept)
	$(BIN)/python -m model_zoo.studies.results --jobs $(JOBS)

results-hardware: $(STAMP)  ## measure everything in docs/hardware-results.md and in the tables of README.md
	$(BIN)/python -m flows.measure.hardware_results

schedule: $(STAMP)  ## draw the frames and fill in the tables of docs/schedule.md
	$(BIN)/python -m flows.measure.schedule_page

lint: $(STAMP)  ## check style and formatting without changing anything
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)  ## format the sources as `make lint` wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)  ## build the documentation site in build/docs, and run its notebook; warnings are errors
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --requirement requirements-docs.lock
	$(BIN)/python -m sphinx -b html -W --keep-going -d build/docs-cache docs build/docs

wheel: $(STAMP)  ## build the wheel in build/dist, and try it in a fresh environment outside of the checkout
	rm -rf build/lib build/dist
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir build/dist .
	PLOSIVE_WHEEL="$$(echo build/dist/plosive-*.whl)" \
		$(BIN)/python -m pytest cocotb_tests/front/test_wheel.py -m "slow or not slow"

clean:  ## remove everything that was built, but not .venv
	rm -rf build .pytest_cache .hypothesis .ruff_cache .coverage .coverage.*
