# make quickstart   set up and run the main job on the embedded scene
# make test         set up and run the tests
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
# How far LLVM optimises what `make test` compiles for the CPU: most of its time would go there, for
# programs that run once. LEVEL=3 is what users run, and what test-slow and CI's newer Python take.
LEVEL ?= 0
BIN = $(VENV)/bin

.PHONY: quickstart test test-slow lint types wheel lock clean

quickstart: $(VENV)/.ready
	$(BIN)/python main.py --config=configs/quickstart.py --workdir=runs/quickstart

test: $(VENV)/.ready-dev
	XLA_FLAGS="$$XLA_FLAGS --xla_backend_optimization_level=$(LEVEL)" \
	  $(BIN)/python -m pytest -n $(WORKERS) -m "not slow" $(ARGS)

test-slow: $(VENV)/.ready-dev
	$(BIN)/python -m pytest -n $(WORKERS) -m slow $(ARGS)

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready-dev
	$(BIN)/mypy

wheel: $(VENV)/.ready-dev
	$(BIN)/python -m build --wheel --outdir dist .

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

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
