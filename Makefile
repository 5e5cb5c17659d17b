# Everything a clone needs: Python >= 3.11 and make.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DATA ?= evenhand-data

.PHONY: help venv demo test check bench format lock fashion-mnist clean

help: ## Says what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

venv: $(STAMP) ## Makes .venv from the pinned, hashed file

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: venv ## Runs a real sweep on real data, end to end
	$(BIN)/evenhand demo

test: venv ## Runs the tests
	$(BIN)/python -m pytest

bench: venv ## Runs the benchmarks (half an hour on two idle cores; Fashion-MNIST where DATA has it)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r benchmarks/requirements.txt
	$(BIN)/python -m benchmarks --data $(DATA)

check: venv ## Style, types, and which package may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: venv ## Formats the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## Pins requirements.txt anew (needs uv)
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		--extra worker --extra dev pyproject.toml -o requirements.txt
	echo "ray[tune]" | uv pip compile --universal --generate-hashes --no-emit-index-url --no-header \
		--python-version 3.11 -c requirements.txt - -o benchmarks/requirements.txt

fashion-mnist: ## Puts the real Fashion-MNIST in the data folder (Debian, as root: apt)
	apt-get update -qq && apt-get install -y -qq dataset-fashion-mnist
	mkdir -p $(DATA)/datasets/fashion_mnist
	cp /usr/share/datasets/fashion-mnist/*.gz $(DATA)/datasets/fashion_mnist/

clean: ## Removes .venv and caches, no data
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
