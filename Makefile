# Everything a newcomer needs: `make demo` and `make test` set up what they use.
# On Linux outside of mirrors that hold a CPU build, `make TORCH_INDEX=https://download.pytorch.org/whl/cpu setup` avoids CUDA.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TORCH_INDEX ?=
HOME_DIR ?= demo-home

.PHONY: setup demo test check lint format docs bench clean

$(VENV)/.ready: pyproject.toml
	@echo "setting up $(VENV): a minute or two, once"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip
	@$(BIN)/pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) \
		--editable '.[train]' --group dev
	@touch $@

setup: $(VENV)/.ready

demo: setup
	$(BIN)/slatewise demo --home $(HOME_DIR)

test: setup
	$(BIN)/pytest

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup
	$(BIN)/slatewise settings --markdown > docs/settings.md

clean:
	rm -rf $(VENV) $(HOME_DIR) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
