# Two commands set everything up: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
OUT ?= runs/demo
DATA ?=
BENCH ?= artifacts/bench

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test bench check docs install

demo: install
	$(BIN)/python -m benchmarks.demo --out $(OUT) $(if $(DATA),--data $(DATA))

# Two processes, each with one thread of its own: more would wait for each other.
test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --durations 15

# A small engine, hardly trained, is timed, and its figures are added to a history.
bench: install
	rm -rf $(BENCH)/data $(BENCH)/run $(BENCH)/engine
	$(BIN)/python -m train.synthesize --out $(BENCH)/data --tiles 24 --size 128
	$(BIN)/python -m train --config train/configs/demo.yaml --data $(BENCH)/data \
		--out $(BENCH)/run data.val_split=test data.crop=128 'schedule=[{epochs: 2, rate: 0.003}]'
	$(BIN)/python -m export.build_engine --fp32 --target openvino --size 128 128 \
		--checkpoint $(BENCH)/run/best.pt --out $(BENCH)/engine
	$(BIN)/python -m pytest benchmarks --quiet --engine $(BENCH)/engine \
		--benchmark-json $(BENCH)/latency.json
	$(BIN)/python -m benchmarks.track $(BENCH)/latency.json \
		--history $(BENCH)/history.jsonl --plot $(BENCH)/trend.png

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# The reference is written from the code first; then site/index.html opens without a server.
docs: install
	$(BIN)/python -m docs.generate
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[all]"
	touch $@
