# One command each. `make demo` and `make test` set up all they need; nothing has to be installed before but Python 3.11+.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.run-stamp
DEV_STAMP := $(VENV)/.dev-stamp

# The tests start some thousand interpreters, and each would compile the sources that it loads.
unexport PYTHONDONTWRITEBYTECODE
# One process more than a small machine has processors: a test waits for a part of its time.
SIDE_BY_SIDE = -n 3
COMPILED = $(BIN)/python -m compileall -q src bench tools

.PHONY: help demo dev check lint types agents test-fast test bench bench-policy bench-containment docs lock clean
help:
	@echo "make demo       a real governed session, told as a story"
	@echo "make dev        set up .venv with everything for development"
	@echo "make check      ruff, mypy --strict, import contracts, docs"
	@echo "make test-fast  the quick tests, without whole sessions and real agents"
	@echo "make test       all tests"
	@echo "make bench      speed, as ratios against peers in one run"
	@echo "make bench-policy  what the policy stops and lets pass, and what a decision costs"
	@echo "make bench-containment  the escape battery here and in other sandboxes"
	@echo "make docs       write the generated parts of the documentation anew"

$(VENV)/pyvenv.cfg:
	@tools/make-venv $(VENV)

$(RUN_STAMP): $(VENV)/pyvenv.cfg pyproject.toml requirements/run.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/run.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

$(DEV_STAMP): $(RUN_STAMP) requirements/dev.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@touch $@

dev: $(DEV_STAMP)

demo: $(RUN_STAMP)
	@$(BIN)/python examples/demo/tell.py

check: lint types

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tools/check_docs.py

types: $(DEV_STAMP)
	$(BIN)/mypy

# What `make test` drives is installed by the first test that needs it; here beforehand, while something else runs.
agents:
	@$(or $(PYTHON),python3) -m tests.e2e.installed

test-fast: $(DEV_STAMP)
	@$(COMPILED)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not slow and not e2e"

test: $(DEV_STAMP)
	@$(COMPILED)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not slow and not e2e"
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "slow and not e2e"
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --dist loadfile -m e2e

bench: $(DEV_STAMP)
	$(BIN)/python -m bench

bench-policy: $(DEV_STAMP)
	$(BIN)/python -m bench.policy $(LISTS)

bench-containment: $(DEV_STAMP)
	$(BIN)/python -m bench.containment

docs: $(DEV_STAMP)
	$(BIN)/python tools/write_docs.py
	$(BIN)/python tools/write_transcript.py

lock:
	@tools/lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
