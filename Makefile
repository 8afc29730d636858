# Each command sets up what it needs: `make map` in seconds, `make demo` and `make test` in minutes.
PYTHON ?= python3
VENV ?= .venv
OUT ?= runs/demo
DATA ?=
GPU_VENV ?= .venv-gpu
GPU_RECORD ?= artifacts/gpu.json
FULL ?=
MAP ?= runs/example-map
EXAMPLE ?= artifacts/example
BENCH ?= artifacts/bench

# The pins are for the newest Python that all of them have; older ones take what fits.
PINS := $(shell $(PYTHON) -c 'import sys; print("--constraint constraints.txt" * (sys.version_info >= (3, 11)))')
BIN := $(VENV)/bin
GPU_BIN := $(GPU_VENV)/bin
BASE := $(VENV)/.base
INSTALLED := $(VENV)/.installed

.PHONY: map demo test bench gpu check docs example-engine install

# The runtime and ONNX Runtime alone: what a box in the field has.
map: $(BASE)
	$(BIN)/python -m runtime.example --out $(MAP)

# FULL=1 times for longer, and also measures worse images, other libraries and smaller windows.
demo: install
	$(BIN)/python -m benchmarks.demo --out $(OUT) $(if $(DATA),--data $(DATA)) $(if $(FULL),--full)

# Two processes, each with one thread of its own: more would wait for each other.
test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --durations 15

# A small engine, hardly trained, is timed, and its figures are added to a history.
bench: install
	rm -rf $(BENCH)/data $(BENCH)/run $(BENCH)/engine
	$(BIN)/python -m train.synthesize --out $(BENCH)/data --tiles 24 --size 128
	$(BIN)/python -m train --config train/configs/demo.yaml --data $(BENCH)/data \
		--out $(BENCH)/run data.val_split=test data.crop=128 'schedule=[{epochs: 2, rate: 0.003}]'
	$(BIN)/python -m export.build_engine --fp32 --target openvino --size 128 128 --floor-pixels 0 --floor-agreement 0 \
		--checkpoint $(BENCH)/run/best.pt --out $(BENCH)/engine
	$(BIN)/python -m pytest benchmarks --quiet --engine $(BENCH)/engine \
		--benchmark-json $(BENCH)/latency.json
	$(BIN)/python -m benchmarks.track $(BENCH)/latency.json \
		--history $(BENCH)/history.jsonl --plot $(BENCH)/trend.png

# On a machine with an NVIDIA GPU: an environment of its own, its tests, its engines, their times,
# and one record of it all. TensorRT's own libraries are fetched where they can be; the rest goes on
# without them.
gpu: $(GPU_VENV)/.installed
	$(GPU_BIN)/python -m benchmarks.gpu_record --out $(GPU_RECORD)

# Makes anew what `make map` maps, and the engine that does it: see runtime/example/README.md.
example-engine: install
	rm -rf $(EXAMPLE)
	$(BIN)/python -m train.synthesize --out $(EXAMPLE)/data --tiles 250 --size 256
	$(BIN)/python -m train --config train/configs/ablation/siamese.yaml \
		--data $(EXAMPLE)/data --out $(EXAMPLE)/run data.val_split=test \
		optim.precision=fp32
	$(BIN)/python -m export.build_engine --fp32 --target onnxruntime --size 256 256 \
		--checkpoint $(EXAMPLE)/run/best.pt --data $(EXAMPLE)/data --split test \
		--parity-pairs 4 --out runtime/example/engine
	$(BIN)/python -m benchmarks.accuracy --engine runtime/example/engine \
		--data $(EXAMPLE)/data --split test
	$(BIN)/python -m train.synthesize --out $(EXAMPLE)/pair --tiles 1 --size 384 --seed 22 \
		--test-share 0
	cp $(EXAMPLE)/pair/train/images/*_pre_*.png runtime/example/pre.png
	cp $(EXAMPLE)/pair/train/images/*_post_*.png runtime/example/post.png
	cp $(EXAMPLE)/pair/train/labels/*_post_*.json runtime/example/label.json

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

$(GPU_VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import ctypes; ctypes.CDLL("libcuda.so.1")' 2> /dev/null || { \
		echo "error: there is no NVIDIA driver (libcuda.so.1 cannot be loaded);" \
		"make gpu measures a machine with a GPU" >&2; exit 1; }
	$(PYTHON) -m venv $(GPU_VENV)
	$(GPU_BIN)/python -m pip install $(PINS) --editable ".[gpu]"
	$(GPU_BIN)/python -m pip install $(PINS) --editable ".[tensorrt]" || \
		echo "tensorrt is left out: it did not install"
	touch $@

$(BASE): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PINS) --editable ".[onnxruntime]"
	touch $@

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PINS) --editable ".[all]"
	touch $(BASE) $@
