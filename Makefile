# Headwater: `make demo` and `make test` are all a newcomer needs.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 2

.PHONY: demo test test-slow lint bench screenshots clean

$(BIN)/headwater: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

demo: $(BIN)/headwater        ## build the demo world, detect, open the workbench
	$(BIN)/headwater demo

test: $(BIN)/headwater lint   ## everything CI runs
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile -m "not slow"

test-slow: $(BIN)/headwater   ## exhaustive runs
	$(BIN)/pytest -m slow --timeout 3600

lint: $(BIN)/headwater        ## style, types of core, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy core
	$(BIN)/lint-imports --no-cache

bench: $(BIN)/headwater       ## figures of docs/benchmarks.md
	$(BIN)/headwater bench algorithms
	$(BIN)/headwater bench detect
	$(BIN)/headwater bench import
	$(BIN)/headwater bench training
	$(BIN)/headwater bench worlds

screenshots: $(BIN)/headwater ## pictures of the tour, light and dark
	$(BIN)/python docs/screenshots.py

clean:
	rm -rf $(VENV) var build *.egg-info
