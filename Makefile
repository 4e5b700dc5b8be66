# Every target does its own set-up. PYTHON chooses the interpreter, each has an environment of its own:
#   make demo [DURATION=10] [CAMERAS="0 clip.mp4"]     make test [PYTHON=python3.13]     make check
#   make bench [QUICK=1] [WHAT=scale]
#   make chaos [DURATION=600] [SEED=1] [REPORT=chaos.json]     make soak     make reliability [RUNS=20]

PYTHON ?= python3
ENV := .venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
BIN := $(ENV)/bin
SHELL := /bin/bash

.PHONY: demo test soak bench chaos reliability test-v4l2 check format clean

demo: $(ENV)/.demo
	$(BIN)/python supervisor.py --simulate $(if $(DURATION),--duration $(DURATION)) $(if $(CAMERAS),--device-name $(CAMERAS))

# Coverage counts the child processes too: each writes a file of its own, and `combine` adds them up.
test: $(ENV)/.test
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest $(PYTEST_FLAGS)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

# Tests that take minutes.
soak: $(ENV)/.test
	$(BIN)/python -m pytest -m soak -v --timeout 7200 $(PYTEST_FLAGS)

# The pipeline against the SDK's image service and the transport alone: docs/performance.md. Or WHAT=scale, capture, local.
bench: $(ENV)/.bench
	$(BIN)/python -m bench $(WHAT) $(if $(QUICK),--quick) $(BENCH_FLAGS)

# Random faults for so long, judged all the time: docs/chaos.md. The same SEED is the same plan.
chaos: $(ENV)/.test
	$(BIN)/python -m chaos --duration $(or $(DURATION),60) $(if $(SEED),--seed $(SEED)) $(if $(REPORT),--report $(REPORT))

# Every test that shows a row of the fault matrix, the timed ones RUNS times; then the table in docs/reliability.md.
reliability: $(ENV)/.test
	rm -rf build/matrix
	status=0; $(BIN)/python -m pytest -m row -v --timeout 3600 --runs $(or $(RUNS),20) --matrix build/matrix || status=$$?; \
	  $(BIN)/python -m tests.matrix.table && exit $$status

# Real V4L2 devices, in a small virtual machine with the kernel's vivid driver.
test-v4l2: $(ENV)/.test
	tools/vivid-vm build/v4l2 '$(abspath $(BIN))/python -m pytest -m v4l2 tests/v4l2 -p no:cacheprovider -v' 900

check: $(ENV)/.check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) test

format: $(ENV)/.check
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv-* build *.egg-info .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(ENV)/.demo $(ENV)/.test $(ENV)/.check $(ENV)/.bench: pyproject.toml
	@test -x $(BIN)/python || { echo "creating the environment $(ENV)"; $(PYTHON) -m venv $(ENV); }
	@echo "installing what pyproject.toml names (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.$(EXTRAS_$(suffix $@))'
	@$(BIN)/python -c 'import cv2' || { \
	  echo "OpenCV needs libGL and glib:  sudo apt-get install -y libgl1 libglib2.0-0" >&2; exit 1; }
	@touch $@

EXTRAS_.demo :=
EXTRAS_.test := [test]
EXTRAS_.bench := [bench]
EXTRAS_.check := [test,check]
