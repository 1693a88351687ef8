# Two commands do all the set-up on a fresh machine: `make audit` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help audit test lint fuzz bench clean

help:
	@echo "make audit   audit Mixup-Privacy on the embedded cohort and print where the card lies"
	@echo "make test    lint, type-check and test, with coverage"
	@echo "make lint    ruff, mypy and import-linter alone"
	@echo "make fuzz    10,000 malformed inputs, and what became of them"
	@echo "make bench   speed and memory, as ratios in one run"
	@echo "make clean   remove the environment"

# On Linux, torch from the usual index brings gigabytes for NVIDIA GPUs. Without one, the CPU build is enough; where its
# index cannot be reached, or has not this version, the usual one serves.
TORCH_CPU ?= https://download.pytorch.org/whl/cpu
define torch
@if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1; then \
	$(PIP) --no-deps --retries 0 --timeout 10 --index-url $(TORCH_CPU) torch 2>/dev/null || $(PIP) torch; \
else $(PIP) torch; fi
endef

$(VENV)/.base: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(torch)
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	$(PIP) -e '.[dev]'
	@touch $@

audit: $(VENV)/.base
	$(BIN)/privaudit audit --jobs 2

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --durations 10 \
	    --cov --cov-report=term:skip-covered --cov-fail-under=85 $(PYTEST_ARGS)

fuzz: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzzing --jobs 2 $(FUZZ_ARGS)

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV)
