# Two commands set everything up: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
OUT ?= runs/demo
DATA ?=
BENCH ?= artifacts/bench

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test bench check install

demo: install
	$(BIN)/python -m benchmarks.demo --out $(OUT) $(if $(DATA),--data $(DATA))

# Two processes, each with one thread of its own: more would wait for each other.
test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --durations 15

# A small engine timed, and its figures added to a history.
bench: install
	$(BIN)/python -m benchmarks.plausible --width 18 --out $(BENCH)/network.pt
	$(BIN)/python -m export.build_engine --fp32 --target openvino --size 128 128 \
		--checkpoint $(BENCH)/network.pt --parity-pairs 1 --out $(BENCH)/engine
	$(BIN)/python -m pytest benchmarks --quiet --engine $(BENCH)/engine \
		--benchmark-json $(BENCH)/latency.json
	$(BIN)/python -m benchmarks.track $(BENCH)/latency.json \
		--history $(BENCH)/history.jsonl --plot $(BENCH)/trend.png

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[all]"
	touch $@
