# Everything runs in a virtual environment of its own: make VENV=/elsewhere/venv ... puts it elsewhere.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

BENCHMARKS = loader stage_startup study_cost plan_counts growth
BENCHMARKS_ON_GPUS = training_step distillation_step evaluation
DEVICE ?= cpu

.PHONY: ablation test test-all chaos bench lint docs format clean

ablation: $(VENV)/.installed        ## the whole ablation on generated vessels, about ten minutes
	$(BIN)/python sweeps/ablation.py

test: $(VENV)/.installed-dev lint docs  ## lint, types, pages and the plain tests
	$(BIN)/pytest

test-all: $(VENV)/.installed-dev lint docs  ## also what needs longer, a browser or servers
	$(BIN)/pytest -m "slow or not slow"

chaos: $(VENV)/.installed-dev       ## a sweep survives 30 faults at random moments
	$(BIN)/python -m tests.chaos

bench: $(VENV)/.installed-dev       ## claims of speed, measured again; DEVICE=cuda on a GPU
	for name in $(BENCHMARKS_ON_GPUS); do $(BIN)/python -m benchmarks.$$name --device $(DEVICE) || exit 1; done
	for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name || exit 1; done

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: $(VENV)/.installed-dev        ## the pages of docs/ and the API, in build/docs; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir build/docs

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
