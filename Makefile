# Every target sets itself up: only Python 3.11 or newer and make are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow check bench clean help

help:  ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

# The lock file pins what was tested. torch is installed first with what its build needs: that differs between
# the CPU and the CUDA build, so it cannot be pinned.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep ^torch== requirements.lock)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: $(READY)  ## Train on real data that needs no network
	$(BIN)/trainwright demo digits
	$(BIN)/trainwright demo cancer

test: $(READY)  ## Run everything that fits in ten minutes on two cores
	$(BIN)/python -m pytest -n 2

test-slow: $(READY)  ## Run the long tests too
	$(BIN)/python -m pytest -m "slow or not slow"

check: $(READY)  ## Lint, format, types, layers, links
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p trainwright
	$(BIN)/lint-imports
	$(BIN)/python docs/check_links.py

bench: $(READY)  ## Measure quality and start-up (half an hour or more; the other benchmarks run one by one)
	$(BIN)/python -m benchmarks.quality
	$(BIN)/python -m benchmarks.startup

clean:  ## Remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
