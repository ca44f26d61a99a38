# Everything runs from a virtual environment that `make setup` builds once; needs Python 3.11+, git and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo neo4j notebooks test test-fast soak engines mutants airflow lint clean

setup: .venv/ready

.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "graphrecall needs Python 3.11 or newer; choose one with: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'
	@echo "Installing graphrecall and its libraries into .venv (torch brings about 5 GB the first time) ..."
	$(BIN)/pip install --quiet --editable '.[offline,neo4j-rust]' --group dev
	@touch $@

demo: setup
	$(BIN)/graphrecall refresh examples/movies/demo.toml --show

neo4j: setup
	@$(BIN)/python tests/neo4j_server/server.py

# The unit tests of every room: without what is slow or needs a Neo4j server.
test-fast: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadgroup -m "not slow and not neo4j and not soak and not engines"

test: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadgroup -m "not soak and not engines"

soak: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -m soak --timeout 7200

# A real Ray and a real Spark (about 0.6 GB to download; Spark needs Java 17) answer batches, and lose workers meanwhile.
engines: setup
	$(BIN)/pip install --quiet --editable '.[ray,spark]'
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 0 -m engines

# Small faults put into the code, one at a time: how many do the tests notice?
mutants: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks mutants

# A real Airflow, in an environment of its own (about 0.5 GB), imports the example's DAG and runs it.
airflow: setup .cache/airflow/ready
	$(BIN)/pytest -n 0 -m soak --timeout 1800 tests/recall/jobs/test_schedule_examples.py

.cache/airflow/ready:
	$(PYTHON) -m venv .cache/airflow
	.cache/airflow/bin/pip install --quiet 'apache-airflow==3.3.2'
	@touch $@

# Run the notebooks and write their outputs into them.
notebooks: setup
	HF_HUB_OFFLINE=1 $(BIN)/python notebooks/run.py

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache mutants
