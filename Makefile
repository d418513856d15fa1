# Every target creates .venv with pip when it is missing. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export OMP_NUM_THREADS ?= 1

.PHONY: help setup demo test check bench format clean
help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(STAMP) ## create .venv and install limbeck with its development tools
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

demo: $(STAMP) ## distil on scikit-learn's digits, offline, ends in a verdict
	$(BIN)/limbeck demo digits --overwrite

test: $(STAMP) ## run the tests on two processes, without network
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: $(STAMP) ## lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP) ## run the quick form of every benchmark
	$(BIN)/python benchmarks/run_all.py

format: $(STAMP) ## format the code and sort imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the environment, caches and runs
	rm -rf $(VENV) runs build dist .mypy_cache .ruff_cache .hypothesis src/*.egg-info
