# fqat-opt: one-word commands. `make help` lists them. The build itself is
# CMake's; this file sets a bare Debian 12 up and calls it.

BUILD_DIR  ?= build
BUILD_TYPE ?= Release
CMAKE_ARGS ?=
MLIR_DIR   ?= /usr/lib/llvm-22/lib/cmake/mlir
VENV       ?= .venv
PYTHON     ?= python3
# Random models that `make fuzz-models` draws, and from which seed.
FUZZ_MODELS ?= 2000
FUZZ_SEED   ?= 1
# How long `make fuzz` runs each of its four targets.
FUZZ_SECONDS ?= 300
# Which of test/python `make test-asan` runs: not those that take away memory or
# the environment, or load our libraries into Python.
ASAN_TESTS  ?= not (install or little_memory or environment or test_user or custom)
# Parallel compile jobs. Empty: ninja's own choice.
JOBS       ?=

CLANG_FORMAT   ?= clang-format-22
CLANG_TIDY     ?= clang-tidy-22
RUN_CLANG_TIDY ?= run-clang-tidy-22

VENV_PYTHON = $(abspath $(VENV))/bin/python
# Looked up when used, after set-up has put torch there.
Torch_DIR ?= $(shell echo "$(abspath $(VENV))"/lib/python3*/site-packages/torch/share/cmake/Torch)
FQAT_OPT   = $(abspath $(BUILD_DIR))/bin/fqat-opt

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup configure build run train test docs package test-package bench bench-growth \
  fuzz-models fuzz test-asan coverage format format-check lint clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile
	@echo "Variables: BUILD_DIR BUILD_TYPE CMAKE_ARGS MLIR_DIR Torch_DIR VENV PYTHON JOBS"

setup: ## Install what is missing: Debian packages and .venv
	@MLIR_DIR="$(MLIR_DIR)" VENV="$(VENV)" PYTHON="$(PYTHON)" TESTS="$(TESTS)" BENCH="$(BENCH)" \
	  DOCS="$(DOCS)" CLANG="$(CLANG)" scripts/setup.sh

# CMake runs when there is no build folder yet or when its arguments have
# changed. Edits of CMakeLists.txt are ninja's to notice.
configure: setup
	@set -- cmake -G Ninja -S . -B "$(BUILD_DIR)" \
	  "-DCMAKE_BUILD_TYPE=$(BUILD_TYPE)" "-DMLIR_DIR=$(MLIR_DIR)" \
	  "-DTorch_DIR=$(Torch_DIR)" "-DPython3_EXECUTABLE=$(VENV_PYTHON)" $(CMAKE_ARGS); \
	stamp="$(BUILD_DIR)/.configured"; \
	if [ ! -f "$(BUILD_DIR)/build.ninja" ] || [ ! -f "$$stamp" ] || [ "$$*" != "$$(< "$$stamp")" ]; then \
	  echo "$$*"; rm -f "$$stamp"; "$$@"; echo "$$*" > "$$stamp"; \
	fi

build: configure ## Set up, configure, compile; programs land in build/bin
	@cmake --build "$(BUILD_DIR)" $(if $(JOBS),-j $(JOBS))

run: build ## Build, then make, fix and check an example detector
	"$(VENV_PYTHON)" python/examples/fix_a_detector.py \
	  --fqat-opt "$(BUILD_DIR)/bin/fqat-opt" --out "$(BUILD_DIR)/example"

train: build ## Build, then prepare and train an example detector
	FQAT_OPT="$(FQAT_OPT)" PYTHONPATH="$(CURDIR)/python" \
	  "$(VENV_PYTHON)" python/examples/train_detector.py --out "$(BUILD_DIR)/train"

test bench: TESTS = 1
test: build ## Build, then run every test
	cmake --build "$(BUILD_DIR)" --target check-fqat $(if $(JOBS),-j $(JOBS))
	FQAT_OPT="$(FQAT_OPT)" PYTHONPATH="$(CURDIR)/python" \
	  "$(VENV_PYTHON)" -m pytest test/python -q
	FQAT_OPT="$(FQAT_OPT)" PYTHONPATH="$(CURDIR)/python" \
	  "$(VENV_PYTHON)" -m pytest python/tests -q

docs: DOCS = 1
docs: build ## Build the documentation into build/site
	FQAT_OPT="$(FQAT_OPT)" MLIR_DIR="$(MLIR_DIR)" NO_MKDOCS_2_WARNING=1 \
	  "$(VENV_PYTHON)" -m mkdocs build --strict --site-dir "$(abspath $(BUILD_DIR))/site"

package: build ## Make Debian packages in build/packages
	cd "$(BUILD_DIR)" && cpack -G DEB

test-package: package run ## Install the package into an empty folder and fix a model there
	scripts/try_package.sh "$(BUILD_DIR)"/packages/fqat-opt_*.deb "$(BUILD_DIR)/example/detector.pt"

bench bench-growth: BENCH = 1
bench bench-growth: CMAKE_ARGS += -DFQAT_BUILD_BENCH=ON
bench: build ## Measure; needs a quiet machine
	FQAT_OPT="$(FQAT_OPT)" PYTHONPATH="$(CURDIR)/python:$(CURDIR)/test/python" "$(VENV_PYTHON)" bench/page.py
	FQAT_OPT="$(FQAT_OPT)" "$(VENV_PYTHON)" bench/speed.py
	"$(BUILD_DIR)/bin/fqat-bench-passes"
	FQAT_OPT="$(FQAT_OPT)" "$(VENV_PYTHON)" bench/dump.py

bench-growth: build ## Measure models of 1,000 to 1,000,000 operators and draw the curves
	FQAT_OPT="$(FQAT_OPT)" "$(VENV_PYTHON)" bench/growth.py --plot docs/growth.svg

fuzz-models: build ## Fix 2,000 random models; FUZZ_SEED picks others
	FQAT_OPT="$(FQAT_OPT)" PYTHONPATH="$(CURDIR)/python" \
	  FQAT_FUZZ_MODELS=$(FUZZ_MODELS) FQAT_FUZZ_SEED=$(FUZZ_SEED) \
	  "$(VENV_PYTHON)" -m pytest test/python/test_random_models.py -q -s

# Clang has what these need. Each has a build folder of its own.
LLVM_BIN = $(abspath $(MLIR_DIR)/../../../bin)
with_clang = -DCMAKE_C_COMPILER=clang-22 -DCMAKE_CXX_COMPILER=clang++-22 -DFQAT_ENABLE_MIMALLOC=OFF \
  -DFQAT_RUN_DESTRUCTORS=ON
test-asan fuzz coverage: CLANG = 1
test-asan coverage: TESTS = 1
test-asan fuzz: BUILD_DIR = build-asan
test-asan fuzz: BUILD_TYPE = RelWithDebInfo
test-asan fuzz: CMAKE_ARGS += $(with_clang) -DFQAT_BUILD_FUZZERS=ON -DLLVM_USE_SANITIZE_COVERAGE=ON \
  '-DLLVM_USE_SANITIZER=Address;Undefined' '-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 -gline-tables-only'
fuzz: build ## Fuzz the readers with sanitizers, FUZZ_SECONDS each
	scripts/fuzz.sh "$(BUILD_DIR)" $(FUZZ_SECONDS)

# LLVM's libraries are not instrumented: see scripts/fuzz.sh. What libtorch
# keeps to the end is no leak of ours.
test-asan: export ASAN_OPTIONS = allow_user_poisoning=0:detect_leaks=0
test-asan: build ## Run the C++ tests and those of whole models with sanitizers
	cmake --build "$(BUILD_DIR)" --target check-fqat $(if $(JOBS),-j $(JOBS))
	FQAT_OPT="$(FQAT_OPT)" PYTHONPATH="$(CURDIR)/python" \
	  "$(VENV_PYTHON)" -m pytest test/python -q -k "$(ASAN_TESTS)"
	ASAN_OPTIONS=allow_user_poisoning=0:detect_leaks=1 FQAT_OPT="$(FQAT_OPT)" PYTHONPATH="$(CURDIR)/python" \
	  "$(VENV_PYTHON)" -m pytest test/python -q -k thousand_models

coverage: BUILD_DIR = build-coverage
coverage: CMAKE_ARGS += $(with_clang) -DLLVM_BUILD_INSTRUMENTED_COVERAGE=ON
coverage: build ## Run every test and report how much of lib/ it reaches
	VENV="$(VENV)" scripts/coverage.sh "$(BUILD_DIR)" "$(LLVM_BIN)"

# C++ files that are tracked or could be, NUL-separated; deleted ones left out.
list_cpp = git ls-files -z -co --exclude-standard -- '*.h' '*.cpp' | \
  while IFS= read -r -d '' f; do if [ -f "$$f" ]; then printf '%s\0' "$$f"; fi; done

format: setup ## Format C++ and Python in place
	@$(list_cpp) | xargs -0r $(CLANG_FORMAT) -i
	@"$(VENV_PYTHON)" -m ruff format python test bench scripts

format-check: setup ## Fail if anything is not formatted
	@$(list_cpp) | xargs -0r $(CLANG_FORMAT) --dry-run -Werror
	@"$(VENV_PYTHON)" -m ruff format --check python test bench scripts

lint: build ## clang-tidy, ruff and mypy
	@"$(VENV_PYTHON)" -m ruff check python test bench scripts
	@"$(VENV_PYTHON)" -m ruff format --check python test bench scripts
	@"$(VENV_PYTHON)" -m mypy python/fqat python/examples test/python/rules.py scripts
	@if command -v $(RUN_CLANG_TIDY) > /dev/null; then \
	  $(RUN_CLANG_TIDY) -quiet -clang-tidy-binary "$$(command -v $(CLANG_TIDY))" \
	    -p "$(BUILD_DIR)" '^$(CURDIR)/(lib|tools)/.*\.cpp$$'; \
	else \
	  find lib tools -name '*.cpp' -print0 | xargs -0r -n 1 $(CLANG_TIDY) --quiet -p "$(BUILD_DIR)"; \
	fi

clean: ## Remove the build folder and tool caches; .venv stays
	@if [ -f "$(BUILD_DIR)/CMakeCache.txt" ]; then rm -rf -- "$(BUILD_DIR)"; fi
	@rm -rf .pytest_cache .ruff_cache .mypy_cache
