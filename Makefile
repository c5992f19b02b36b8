# A user needs `make demo` and `make test`; both set up a virtual environment of their own first.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint tests clean

demo: $(VENV)/demo.installed
	$(BIN)/duplexgen build recipes/turn_taking.yaml

test: lint tests

lint: $(VENV)/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

tests: $(VENV)/dev.installed
	$(BIN)/python -m pytest

$(VENV)/demo.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/dev.installed: $(VENV)/demo.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) out
