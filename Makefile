# Thin: every target is one `python -m …` line. `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
export TF_CPP_MIN_LOG_LEVEL ?= 2
export TF_FORCE_GPU_ALLOW_GROWTH ?= true

DATA ?=
OUT ?=
RECORDS ?= records
RESULTS ?= results
PROTOCOL ?= clean
SIZE ?= 512
JOBS ?= $(shell nproc)
STRATEGY ?= random
TRIALS ?= 24
WORKERS ?= 0
HOSTS ?= 1
ARGS ?=
SEARCH = --strategy $(STRATEGY) --trials $(TRIALS) --workers $(WORKERS)

.DEFAULT_GOAL := help
.PHONY: help setup demo tfrecords inspect train-classifier train-unet tune-classifier tune-unet report bench test test-all lint clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' Makefile
	@echo "Variables: DATA OUT RECORDS RESULTS PROTOCOL SIZE JOBS STRATEGY TRIALS WORKERS HOSTS, and ARGS for any further flag:"
	@echo "  make tfrecords DATA=folder OUT=records PROTOCOL=clean SIZE=512 JOBS=2 ARGS='--max-bad 3'"

setup: $(VENV)/.installed ## create .venv and install everything at its pinned version

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(VENV)/.installed ## phantoms (or DATA=folder) to TFRecords, classifier, U-Net and a report
	$(PY) -m experiments.demo $(if $(DATA),--data '$(DATA)') --out '$(RESULTS)' --jobs $(JOBS) $(ARGS)

tfrecords: need-data $(VENV)/.installed ## DATA=folder [OUT=records]: convert slices to TFRecords
	$(PY) -m data_tools.build_tfrecords --data '$(DATA)' --out '$(or $(OUT),$(RECORDS))' \
		--protocol $(PROTOCOL) --size $(SIZE) --jobs $(JOBS) $(ARGS)

inspect: need-data $(VENV)/.installed ## DATA=folder [OUT=inspect.html]: what a folder holds, before converting
	$(PY) -m data_tools.inspect --data '$(DATA)' --out '$(or $(OUT),inspect.html)' --jobs $(JOBS) $(ARGS)

train-classifier: $(VENV)/.installed ## [RECORDS=records] train a stroke detector
	$(PY) -m experiments.train_classifier --records '$(RECORDS)' --out '$(RESULTS)' $(ARGS)

train-unet: $(VENV)/.installed ## [RECORDS=records HOSTS=2] train a lesion segmentation
	$(PY) -m experiments.train_unet --records '$(RECORDS)' --out '$(RESULTS)' --hosts $(HOSTS) $(ARGS)

tune-classifier: $(VENV)/.installed ## [STRATEGY=bayesian TRIALS=24 WORKERS=2] search for a detector's settings
	$(PY) -m experiments.tune_classifier --records '$(RECORDS)' --out '$(RESULTS)' $(SEARCH) $(ARGS)

tune-unet: $(VENV)/.installed ## [STRATEGY=bayesian TRIALS=24 WORKERS=2] search for a segmentation's settings
	$(PY) -m experiments.tune_unet --records '$(RECORDS)' --out '$(RESULTS)' $(SEARCH) $(ARGS)

report: $(VENV)/.installed ## [RESULTS=results] write REPORT.md and report.html of all runs
	$(PY) -m stroke_tf.reporting.report --out '$(RESULTS)' $(ARGS)

bench: $(VENV)/.installed ## speed and memory against the plain way
	$(PY) -m benchmarks.tfrecords $(ARGS)
	$(PY) -m benchmarks.pipeline $(ARGS)

test: $(VENV)/.installed ## [JOBS=2] the tests, without the slow ones, in JOBS processes
	$(PY) -m pytest -m 'not slow' -n $(JOBS) --dist loadfile $(ARGS)

test-all: $(VENV)/.installed ## all tests
	$(PY) -m pytest $(ARGS)

lint: $(VENV)/.installed ## formatting, style, types and import rules
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

clean: ## delete the virtual environment, caches and build files; data, records and results stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .coverage* build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: need-data
need-data:
	@test -n '$(DATA)' || { echo "DATA must name the folder of slices: make $(firstword $(MAKECMDGOALS)) DATA=path/to/slices"; exit 2; }
