# SPDX-License-Identifier: EUPL-1.2
# Two commands for a newcomer: make demo, make test. All else is listed by make help.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: help demo test lint soak bench lock clean

help: ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 10

demo: $(STAMP) ## the example city on http://127.0.0.1:8000
	$(BIN)/poorter demo

test: $(STAMP) ## everything CI runs
	tools/need
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not soak"

lint: $(STAMP) ## style and types only
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/mypy

soak: $(STAMP) ## the long campaigns: faults, power cuts, fuzzing
	tools/need
	$(BIN)/python -m pytest -q -m soak

bench: $(STAMP) ## the figures of docs/figures.md
	tools/need
	PYTHONPATH=. $(BIN)/python -m bench

lock: ## pin again what pyproject.toml asks for (needs uv)
	uv pip compile -q --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --extra load --extra parking --extra postgres --extra traces --extra test --python-version 3.11 \
	  -o requirements/all.txt pyproject.toml

clean: ## remove what was made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache example-city*

$(STAMP): requirements/all.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --require-hashes --no-deps -r requirements/all.txt
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e . 
	touch $(STAMP)
