# make quickstart   set up, sharpen a real scene at once, then train a small network on top
# make test         set up and run the quick part of the tests: minutes on two cores
# make test-all     every test
# make docs         the documentation as a site, in site/
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
# How far LLVM optimises what tests compile for the CPU: most of their time would go there, for
# programs that run once. LEVEL=3 is what users run.
LEVEL ?= 0
BIN = $(VENV)/bin

# What `make test-all` runs: everything. CI leaves out campaigns and benchmarks (MARKS="not slow").
MARKS ?= slow or not slow
PYTEST = XLA_FLAGS="$$XLA_FLAGS --xla_backend_optimization_level=$(LEVEL)" \
  $(BIN)/python -m pytest -n $(WORKERS)

.PHONY: quickstart test test-all test-slow lint types docs wheel lock clean

quickstart: $(VENV)/.ready
	@$(BIN)/python -c 'from importlib.util import find_spec as f; exit(f("tensorly") is None)' || $(BIN)/python -m pip install --quiet \
	  --disable-pip-version-check --no-deps tensorly==0.10.0 || \
	  echo "the scene Indian Pines could not be fetched: an artificial one is used"
	$(BIN)/python -m examples.quickstart

test: $(VENV)/.ready-dev
	$(PYTEST) -m "not slow and not full" --durations=15 $(ARGS)

test-all: $(VENV)/.ready-dev
	$(PYTEST) -m "$(MARKS)" --durations=40 $(ARGS)

test-slow: $(VENV)/.ready-dev
	$(PYTEST) -m slow $(ARGS)

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready-dev
	$(BIN)/mypy

docs: $(VENV)/.ready-docs
	$(BIN)/python -m mkdocs build --strict

wheel: $(VENV)/.ready-dev
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check dist/*

# The exact versions that CI runs.
lock: $(VENV)/.ready-dev
	$(BIN)/python -m pip freeze --exclude-editable > requirements-lock.txt

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "Python 3.11 to 3.13 is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.ready-dev: requirements-dev.txt $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

$(VENV)/.ready-docs: requirements-docs.txt $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	touch $@

clean:
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .ruff_cache .mypy_cache
