# make demo | test | bench | lint | dist     (PYTHON=python3.12 picks another interpreter)

PYTHON ?= python3
BIN := .venv/bin
NATIVE := setup.py $(wildcard fastup/*.pyx fastup/*.h fastup/*.cpp)

.PHONY: demo test bench lint dist clean

demo: .venv/installed
	rm -rf demo
	$(BIN)/fastup demo demo

test: .venv/installed
	$(BIN)/pytest -q

# The floors are in the benchmarks: a ratio below its floor fails the run.
bench: .venv/installed
	$(BIN)/pytest -q bench

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(BIN):$$PATH" cython-lint fastup/_dpx.pyx
	$(BIN)/clang-format --dry-run --Werror fastup/_dpx.h fastup/_file.h fastup/_loader.cpp

dist: .venv/installed
	$(BIN)/python -m build

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
