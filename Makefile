# `make demo` and `make test` need Python 3.11 or newer, nothing else; everything goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Twice as many as there are cores: a test waits for programs as often as it works.
TESTS_AT_ONCE := $(shell $(PYTHON) -c "import os; print(min(8, 2 * (os.cpu_count() or 1)))")

# The tests start hundreds of programs, which start in half the time from compiled files.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test coverage lint site check clean

demo: $(VENV)/installed
	$(BIN)/ws-load-test demo

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n $(TESTS_AT_ONCE) --dist loadfile --no-loadscope-reorder -m "not alone"
	$(BIN)/python -m pytest -m alone

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests/typing
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/zizmor --quiet --offline --no-progress .
	if [ -x $(BIN)/hadolint ]; then $(BIN)/hadolint Dockerfile; fi

site: $(VENV)/installed-docs
	rm -rf build/site
	$(BIN)/sphinx-build -n -W --keep-going -q docs build/site

check: lint test

# What the compiled engine is built of; without a C compiler the portable engine runs every plan.
COMPILED := cmake/CMakeLists.txt $(wildcard src/ws_load_test/engine/native/*.p[xy][dx] src/ws_load_test/engine/native/*.pxi src/ws_load_test/engine/native/*.h)

$(VENV)/installed: pyproject.toml $(COMPILED)
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; name one: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	rm -rf cmake/CMakeCache.txt cmake/CMakeFiles src/ws_load_test/engine/native/*.so
	$(BIN)/python -m pip install --quiet --editable .
	# Found by its path alone, so that a checkout in PYTHONPATH comes first.
	sed -i.bak '/^import/d' $(VENV)/lib/python*/site-packages/_editable_skbc_ws_load_test.pth
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --group test
	touch $@

$(VENV)/installed-dev: $(VENV)/installed-test
	$(BIN)/python -m pip install --quiet --group dev
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --group docs
	touch $@

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*

coverage: $(VENV)/installed-test
	$(BIN)/python -m coverage run -m pytest
	$(BIN)/python -m coverage combine
	$(BIN)/python -m coverage report
