# Thin: every target is one `stroke-tf` command. `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
RUN := $(VENV)/bin/stroke-tf
export TF_FORCE_GPU_ALLOW_GROWTH ?= true

DATA ?=
OUT ?=
INPUT ?=
MODEL ?=
RECORDS ?= records
RESULTS ?= results
PROTOCOL ?= clean
SIZE ?= 512
TASK ?= detect
JOBS ?= $(shell nproc)
STRATEGY ?= random
TRIALS ?= 24
WORKERS ?= 0
HOSTS ?= 1
ARGS ?=

# A mistyped variable, such as RECORD=, would be left aside in silence. None of these has a `_`, as
# the variables of libraries have.
KNOWN := PYTHON VENV DATA OUT INPUT MODEL RECORDS RESULTS PROTOCOL SIZE TASK JOBS STRATEGY TRIALS WORKERS HOSTS ARGS
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
UNKNOWN := $(strip $(foreach name,$(filter-out $(KNOWN) SHELL MAKE% -%,$(GIVEN)),$(if $(findstring _,$(name)),,$(name))))
ifneq ($(UNKNOWN),)
$(error Variables must be of $(KNOWN). Received: $(UNKNOWN))
endif

# Folders reach the commands as they were typed, with quotes, $ and spaces, and the lines that make
# prints are those that it runs.
quoted = '$(subst ','\'',$(value $(1)))'
optional = $(if $(value $(2)),$(1) $(call quoted,$(2)))
TRAIN = --records $(call quoted,RECORDS) --out $(call quoted,RESULTS)
SEARCH = $(TRAIN) --strategy $(STRATEGY) --trials $(TRIALS) --workers $(WORKERS)

.DEFAULT_GOAL := help
.PHONY: help setup demo tfrecords inspect train-classifier train-unet cv tune-classifier tune-unet audit predict serve reproduce report bench test test-all lint docs wheel clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' Makefile
	@echo "Variables: DATA OUT INPUT MODEL RECORDS RESULTS PROTOCOL SIZE TASK JOBS STRATEGY TRIALS WORKERS HOSTS, and ARGS for any further flag:"
	@echo "  make tfrecords DATA=folder OUT=records PROTOCOL=clean SIZE=512 JOBS=2 ARGS='--max-bad 3'"

setup: $(VENV)/.installed ## create .venv and install everything at its pinned version
	@echo "Installed. Next: . $(VENV)/bin/activate, then: stroke-tf doctor"

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(VENV)/.installed ## phantoms (or DATA=folder) to TFRecords, a trained network and a report
	$(RUN) demo $(call optional,--data,DATA) --out $(call quoted,RESULTS) --jobs $(JOBS) $(ARGS)

tfrecords: need-data $(VENV)/.installed ## DATA=folder [OUT=records]: convert slices to TFRecords
	$(RUN) convert --data $(call quoted,DATA) --out $(call quoted,$(if $(value OUT),OUT,RECORDS)) \
		--protocol $(PROTOCOL) --size $(SIZE) --jobs $(JOBS) $(ARGS)

inspect: need-data $(VENV)/.installed ## DATA=folder [OUT=inspect.html]: what a folder holds, before converting
	$(RUN) inspect --data $(call quoted,DATA) --out $(if $(value OUT),$(call quoted,OUT),inspect.html) --jobs $(JOBS) $(ARGS)

train-classifier: $(VENV)/.installed ## [RECORDS=records] train a stroke detector
	$(RUN) train-classifier $(TRAIN) $(ARGS)

train-unet: $(VENV)/.installed ## [RECORDS=records HOSTS=2] train a lesion segmentation
	$(RUN) train-unet $(TRAIN) --hosts $(HOSTS) $(ARGS)

cv: $(VENV)/.installed ## [RECORDS=records TASK=detect] cross-validate a network on all of your slices
	$(RUN) cross-validate $(call quoted,RECORDS) --out $(call quoted,RESULTS) --task $(TASK) $(ARGS)

tune-classifier: $(VENV)/.installed ## [STRATEGY=bayesian TRIALS=24 WORKERS=2] search for a detector's settings
	$(RUN) tune-classifier $(SEARCH) $(ARGS)

tune-unet: $(VENV)/.installed ## [STRATEGY=bayesian TRIALS=24 WORKERS=2] search for a segmentation's settings
	$(RUN) tune-unet $(SEARCH) $(ARGS)

audit: $(VENV)/.installed ## [RECORDS=records OUT=audit] leaks, shortcuts and wrong labels: a page
	$(RUN) audit $(call quoted,RECORDS) $(call optional,--out,OUT) $(ARGS)

predict: need-input $(VENV)/.installed ## INPUT=slices OUT=folder [MODEL=run]: scores, masks, volumes and a page
	$(RUN) predict $(call quoted,INPUT) $(call optional,--model,MODEL) --out $(call quoted,OUT) $(ARGS)

serve: $(VENV)/.installed ## [MODEL=run] a page in the browser that takes slices and answers
	$(RUN) serve $(call optional,--model,MODEL) $(ARGS)

reproduce: $(VENV)/.installed ## [RECORDS="records records-published"] every table and figure of both papers
	$(RUN) reproduce --records $(foreach folder,$(value RECORDS),$(call quoted,folder)) --out $(call quoted,RESULTS) $(ARGS)

report: $(VENV)/.installed ## [RESULTS=results] write REPORT.md and report.html of all runs
	$(RUN) report --out $(call quoted,RESULTS) $(ARGS)

bench: $(VENV)/.installed ## speed and memory against the plain way
	$(PY) -m benchmarks.tfrecords $(ARGS)
	$(PY) -m benchmarks.pipeline $(ARGS)

test: $(VENV)/.installed ## [JOBS=2] the tests, without the slow ones, in JOBS processes
	$(PY) -m pytest -m 'not slow' -n $(JOBS) --dist loadfile --no-loadscope-reorder \
		--max-worker-restart 0 $(ARGS)

test-all: $(VENV)/.installed ## all tests
	$(PY) -m pytest $(ARGS)

lint: $(VENV)/.installed ## formatting, style, types and import rules
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

docs: $(VENV)/.installed ## README, docs and a reference as a site: build/docs/html/index.html
	TF_CPP_MIN_LOG_LEVEL=$${TF_CPP_MIN_LOG_LEVEL:-3} $(PY) -m sphinx --quiet --fresh-env \
		--fail-on-warning --keep-going --doctree-dir build/docs/doctrees docs build/docs/html $(ARGS)
	@echo "Open build/docs/html/index.html in a browser."

wheel: $(VENV)/.installed ## dist/*.whl and dist/*.tar.gz of this package
	$(PY) -m build --no-isolation $(ARGS)

clean: ## delete the virtual environment, caches and build files; data, records and results stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .coverage* build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: need-data
need-data:
	@test -n $(call quoted,DATA) || { echo "DATA must name the folder of slices: make $(firstword $(MAKECMDGOALS)) DATA=path/to/slices"; exit 2; }

.PHONY: need-input
need-input:
	@test -n $(call quoted,INPUT) -a -n $(call quoted,OUT) || { echo "INPUT and OUT must name slices and a new folder: make predict INPUT=scans OUT=predicted"; exit 2; }
