# make demo | test | bench | lint | dist | weights     (PYTHON=python3.12 picks another interpreter)
# FASTUP_SANITIZE=address,undefined make test     make fuzz SECONDS=600     (see CONTRIBUTING.md)

PYTHON ?= python3
BIN := .venv/bin
NATIVE := setup.py $(wildcard fastup/*.pyx fastup/*.h fastup/*.cpp)
FASTUP_SANITIZE ?=
unexport FASTUP_SANITIZE # but for the build that is meant: what lies in fastup/ and in a wheel is never sanitized

.PHONY: demo test bench lint dist weights clean fuzz

demo: .venv/installed
	rm -rf demo
	$(BIN)/fastup demo demo

ifeq ($(FASTUP_SANITIZE),)
test: .venv/installed
	$(BIN)/pytest -q -n auto --maxprocesses 4 --dist worksteal
else
# The tests of the native code, against a build of its own, by GCC. Those of training stay out: Keras and what is below it
# are not ours to sanitize. Leaks are not looked for, as CPython keeps what it has at its end; libstdc++ comes first so
# that C++ exceptions are known; native stderr is not captured, so that a finding, which ends the process, is seen.
comma := ,
RUNTIME_address := libasan.so
RUNTIME_undefined := libubsan.so
RUNTIME_thread := libtsan.so
RUNTIMES := $(foreach kind,$(subst $(comma), ,$(FASTUP_SANITIZE)),$(RUNTIME_$(kind))) libstdc++.so
SANITIZED := build/sanitize-$(subst $(comma),-,$(FASTUP_SANITIZE))

test: .venv/installed
	@for library in $(RUNTIMES); do test -e "$$(gcc -print-file-name=$$library)" || \
		{ echo "missing: GCC with $$library (Debian: apt install build-essential)"; exit 1; }; done
	FASTUP_SANITIZE=$(FASTUP_SANITIZE) CC=gcc CXX=g++ $(BIN)/python setup.py -q build \
		--build-base=$(SANITIZED) --build-lib=$(SANITIZED)/lib
	@echo race:libOpenImageIO >$(SANITIZED)/suppressions # it was built without, so its threads look as if they raced
	cd $(SANITIZED)/lib && PYTHONPATH="$$PWD" \
		LD_PRELOAD="$$(for library in $(RUNTIMES); do gcc -print-file-name=$$library; done | paste -sd ' ')" \
		ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
		TSAN_OPTIONS=halt_on_error=1:suppressions="$$PWD/../suppressions" \
		"$(CURDIR)/$(BIN)/pytest" -q --capture=sys --rootdir="$(CURDIR)" -c "$(CURDIR)/pyproject.toml" \
		$(foreach name,dpx flavours loader frames find write_stream header header_fields header_changes summary oddities,"$(CURDIR)/tests/test_$(name).py")
endif

# Mutated files into the C core, from a corpus of every flavour; what it learns stays in build/fuzz/corpus for the next
# time, and a file that makes it stop is written to build/fuzz/.
SECONDS ?= 600
CLANG ?= clang
fuzz: .venv/installed build/fuzz/fuzz_dpx
	rm -rf build/fuzz/seeds
	$(BIN)/python fuzz/corpus.py build/fuzz/seeds
	mkdir -p build/fuzz/corpus
	build/fuzz/fuzz_dpx -max_total_time=$(SECONDS) -max_len=8192 -entropic_scale_per_exec_time=1 -timeout=20 \
		-print_final_stats=1 -dict=fuzz/dpx.dict -artifact_prefix=build/fuzz/ build/fuzz/corpus build/fuzz/seeds

build/fuzz/fuzz_dpx: fuzz/fuzz_dpx.c $(NATIVE)
	@mkdir -p $(@D)
	@echo 'int LLVMFuzzerTestOneInput(void); int LLVMFuzzerTestOneInput(void) { return 0; }' | \
		$(CLANG) -fsanitize=fuzzer,address -x c -o $@.try - 2>/dev/null || \
		{ echo "missing: clang with libFuzzer (Debian: apt install clang libclang-rt-14-dev)"; exit 1; }
	$(CLANG) -std=c99 -g -O2 -Wall -Wextra -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
		-DDPX_SANITIZED= -Ifastup -o $@ $< -lm

# The floors are in the benchmarks: a ratio below its floor fails the run.
bench: .venv/installed
	$(BIN)/pytest -q bench

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(BIN):$$PATH" cython-lint fastup/_dpx.pyx
	$(BIN)/clang-format --dry-run --Werror fastup/*.h fastup/_loader.cpp fuzz/fuzz_dpx.c
	$(BIN)/mypy

# A wheel for each supported Python that is there, each one tried in an empty environment. Takes ten minutes; pip downloads
# TensorFlow for each Python, the first time.
dist: .venv/installed
	$(BIN)/python tests/wheels.py

# The models in the box: hours on two cores, minutes with a card (see weights/make.py).
weights: .venv/installed
	$(BIN)/python weights/make.py build/weights

clean:
	rm -rf .venv build dist fastup.egg-info fastup/_dpx.c fastup/*.so

.venv/installed: pyproject.toml constraints.txt $(NATIVE)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || \
		{ echo "missing: Python 3.11 to 3.13 as '$(PYTHON)' (Debian: apt install python3)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "missing: Python's venv module (Debian: apt install python3-venv)"; exit 1; }
	@$(PYTHON) -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' || \
		{ echo "missing: Python's C headers (Debian: apt install python3-dev)"; exit 1; }
	@command -v cc >/dev/null && command -v c++ >/dev/null || \
		{ echo "missing: a C and a C++ compiler (Debian: apt install build-essential)"; exit 1; }
	@test -x $(BIN)/pip || { rm -rf .venv && $(PYTHON) -m venv .venv; }
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt 'setuptools>=77' Cython pybind11
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[all]'
	@touch $@
