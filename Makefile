# Everything a newcomer needs: `make demo` and `make test` set up what they use.
# On Linux outside of mirrors that hold a CPU build, `make TORCH_INDEX=https://download.pytorch.org/whl/cpu setup` avoids CUDA.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TORCH_INDEX ?=
HOME_DIR ?= demo-home

.PHONY: setup demo test check lint sanitize format docs clean

$(VENV)/.ready: pyproject.toml setup.py $(wildcard native/*)
	@echo "setting up $(VENV): a minute or two, once"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip
	@$(BIN)/pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) \
		--editable '.[tune]' --group dev
	@touch $@

setup: $(VENV)/.ready

demo: setup
	$(BIN)/slatewise demo --home $(HOME_DIR)

# Two workers, one file at a time each; small matrices gain nothing from a thread pool per worker.
test: setup
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

# The native kernel under the address and undefined-behaviour sanitizers, with random data.
sanitize:
	@mkdir -p build
	$(CXX) -g -O1 -std=c++17 -w -fsanitize=address,undefined -fno-sanitize-recover=all -Inative \
		$(filter-out native/module.cpp,$(wildcard native/*.cpp)) native/fuzzing/fuzz.cpp -o build/fuzz
	build/fuzz $(ROUNDS)

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup
	$(BIN)/slatewise settings --markdown > docs/settings.md

clean:
	rm -rf $(VENV) $(HOME_DIR) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
