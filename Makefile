# `make run` and `make test` do all their own set-up: a fresh machine needs only Python 3.11+ and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

JOB    ?= bench/jobs/penguins.toml
OUT    ?= out/penguins
SEEDS  ?= 1000
WORKERS ?= auto
BENCH  ?=

# Processes by the dozen are started here: they share what the first has compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test check types lint format unit simulate bench bench-smoke bench-setup clean

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@

run: $(STAMP) ## generate the penguins dataset, then prove from its log that no lease leaked
	$(BIN)/leasehold run $(JOB) --out $(OUT)
	$(BIN)/leasehold verify $(OUT)

test: check unit bench-smoke ## everything that CI runs

check: lint types

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache

types: $(STAMP)
	$(BIN)/mypy

unit: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

simulate: $(STAMP) ## SEEDS random worlds on virtual time, faults included; a failing one prints how to replay it
	$(BIN)/python -m tests.simulation --seeds $(SEEDS)

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench-smoke: $(STAMP) ## every scenario once, in seconds; only what needs no peer installed
	$(BIN)/python -m bench smoke

bench-setup: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable ".[bench]"

bench: bench-setup ## the whole matrix, half an hour, or BENCH="P7 --baseline REV"; artifacts in out/bench
	$(BIN)/python -m bench $(BENCH) --out out/bench

clean:
	rm -rf $(VENV) out .pytest_cache .mypy_cache .ruff_cache .hypothesis
