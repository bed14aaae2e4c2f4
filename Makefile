# Two commands do everything, set-up included:  make repro   and   make test
PYTHON ?= python3
VENV ?= .venv
BIN := $(abspath $(VENV))/bin
export PATH := $(BIN):$(PATH)

.PHONY: help repository install repro test slow faults journeys machines gpu audit lint format types ui clean lock

help:
	@echo "make repro    environment, built-in data, the whole pipeline; prints where the report is"
	@echo "make test     environment, lint, types, tests; the recipe in miniature to its report is one of them"
	@echo "make slow     the tests that take minutes: own data, subsets of the recipe, the UI, killed trainings"
	@echo "make faults   proofs that kills, full disks and second runs change no artefact (half an hour)"
	@echo "make journeys labels out and back in, own data through ccm init: each to the report (many minutes)"
	@echo "make machines two processes train, one is killed, on one machine and as two (minutes)"
	@echo "make gpu      what wants a GPU: its tests and figures into gpu.json (nine minutes at most)"
	@echo "make audit    what is locked: licences, age, known vulnerabilities where pip-audit is installed"
	@echo "make ui       the Prefect server and UI on this machine"
	@echo "make lock     pin the newest versions that pyproject.toml allows (needs uv)"
	@echo "make clean    remove the environment and caches (data, models and reports stay)"

install: $(VENV)/.installed

# The lock pins every dependency by hash; --no-deps, because it is complete.
$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned environment into $(VENV) (5 GB, some minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Said before anything is installed: DVC works in a git repository only.
repository:
	@git rev-parse --git-dir >/dev/null 2>&1 || { echo "This folder is not a git repository, which DVC needs: clone the project, or run: git init"; exit 1; }
	@test -d .dvc || { echo "This folder has no .dvc, so DVC does not know it: clone the project, or run: dvc init"; exit 1; }

repro: repository install
	@ccm ui
	@ccm run
	@echo "Report:     file://$(CURDIR)/reports/report.html"
	@ccm ui

test: install lint types
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

slow: install
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m slow

# Long proofs that print their figures; the one with disks needs root, to mount small ones.
faults: install
	python -m tests.faults.twice
	python -m tests.faults.kills --kills 30
	python -m tests.faults.kills --kills 8 --server --seed 1
	if [ "$$(id -u)" = 0 ]; then python -m tests.faults.disk; else echo "not root: tests.faults.disk left out"; fi

# What users do from end to end, in the miniature's size; the data of the second lie in ../shared.
journeys: install
	python -m tests.journeys.round_trip
	python -m tests.journeys.own_data

machines: install
	python -m tests.faults.machines

# No `install`: a GPU machine brings its own torch, and needs neither Prefect nor DVC.
gpu:
	python -m pipeline.benchmarks.gpu --out gpu.json

audit: install
	@python .ci/audit.py

lint: install
	ruff check .
	ruff format --check .

types: install
	mypy

format: install
	ruff check --fix .
	ruff format .

ui: install
	ccm ui

lock:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -o requirements.lock --upgrade

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info
