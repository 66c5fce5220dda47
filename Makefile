# Everything runs in .venv, made from requirements.lock. Nothing else is asked of the machine than
# Python >= 3.11 and make; browser tests use the system's Chromium and skip where there is none.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests and lint work in a home of their own, so that they never touch the demo's data.
export DBT_PROFILES_DIR := $(CURDIR)
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export PYTHONPATH := $(CURDIR)

.PHONY: help setup demo test test-spark lint types format bench clean

help:
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(VENV)/.installed ## virtual environment with the locked dependencies

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Scutari needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Setting up $(VENV) (a few minutes the first time) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-spark: $(VENV)/.installed requirements-spark.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-spark.lock
	@touch $@

demo: setup ## the whole job on a synthetic network, then the dashboard
	@$(BIN)/scutari demo

test: setup ## lint, types, dbt, unit, integration and browser tests
	@$(MAKE) --no-print-directory -j2 lint types
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-spark: $(VENV)/.installed-spark ## the same models on Apache Spark, marts compared row for row
	@SCUTARI_SPARK_TESTS=1 $(BIN)/python -m pytest -m spark

lint: setup ## ruff, sqlfluff, and generated files up to date
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/sqlfluff lint --processes 2 models tests/data
	@$(BIN)/python -m ops.histories.generate --check

types: setup ## mypy --strict
	@$(BIN)/mypy

format: setup ## let ruff and sqlfluff rewrite what they can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/sqlfluff fix models tests/data

bench: setup ## ratios against the bare tools (see benchmarks/README.md)
	@$(BIN)/python -m benchmarks

clean: ## remove what the build tools wrote; data in var/ stay
	@rm -rf target logs build *.egg-info .pytest_cache .ruff_cache .mypy_cache
