# Everything a clone needs: Python >= 3.11 and make.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DATA ?= evenhand-data

WORKERS ?= 1

.PHONY: help venv demo up down test test-compose test-chaos soak check bench format lock fashion-mnist clean

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

up: ## Runs everything in containers, builds them first, and says where it is (WORKERS=3 runs three workers)
	docker compose up --build --detach --wait --scale worker=$(WORKERS)
	@echo "API     http://$$(docker compose port api 8000)/docs"
	@echo "MLflow  http://$$(docker compose port mlflow 5000)/#/experiments?workflowType=machine_learning"

down: ## Stops the containers and keeps the data
	docker compose down

test: venv ## Runs the tests
	$(BIN)/python -m pytest

test-compose: venv ## Tests the containers, damage included (needs a container engine)
	$(BIN)/python -m pytest -m compose tests/compose

test-chaos: venv ## Kills and stops workers, API and MLflow while sweeps run (minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m chaos

soak: venv ## The same with ten times as much of it (EVENHAND_SOAK=10)
	OMP_NUM_THREADS=1 EVENHAND_SOAK=$${EVENHAND_SOAK:-10} $(BIN)/python -m pytest -m chaos --timeout 3600

bench: venv ## Runs the benchmarks (16 minutes on two idle cores; Fashion-MNIST where DATA has it)
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
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		-c requirements.txt pyproject.toml -o docker/service.txt
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		-c requirements.txt --extra worker pyproject.toml -o docker/worker.txt
	echo "setuptools>=80" | uv pip compile --universal --generate-hashes --no-emit-index-url --no-header \
		--python-version 3.11 -c requirements.txt - -o docker/build.txt
	echo "ray[tune]" | uv pip compile --universal --generate-hashes --no-emit-index-url --no-header \
		--python-version 3.11 -c requirements.txt - -o benchmarks/requirements.txt

fashion-mnist: ## Puts the real Fashion-MNIST in the data folder (Debian, as root: apt)
	apt-get update -qq && apt-get install -y -qq dataset-fashion-mnist
	mkdir -p $(DATA)/datasets/fashion_mnist
	cp /usr/share/datasets/fashion-mnist/*.gz $(DATA)/datasets/fashion_mnist/

clean: ## Removes .venv and caches, no data
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
