# Two commands for a newcomer: `make demo` and `make test`. Everything lives in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CLUSTERS := $(VENV)/.clusters
# Two torch threads on a busy machine can fall to a tenth of their speed while they spin for each other.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo install test quick test-system test-outside evidence mutants check format clean

demo: $(READY) ## set up, then run the whole refresh on the embedded default
	$(BIN)/presel demo $(ARGS)

install: $(READY) ## the virtual environment, and nothing else

test: $(READY) ## the test suite
	$(BIN)/pytest $(ARGS)

quick: $(READY) ## every test that needs no server, browser, model or process
	$(BIN)/pytest --quick -q -n 2 $(ARGS)

test-system: $(CLUSTERS) ## PostgreSQL, a Prefect server, workers, S3 over HTTP, and kill -9; 35 minutes on two busy cores
	PRESEL_SYSTEM=1 PRESEL_KILLS=50 $(BIN)/python -m tests.nothing_left $(BIN)/pytest -o faulthandler_timeout=900 \
		tests/flows/test_watched_runs.py tests/flows/test_clusters.py tests/refresh/test_killed.py tests/cli/test_stopping.py \
		tests/instruct/test_killed.py tests/instruct/test_cap.py tests/instruct/test_label_studio.py \
		tests/system --ignore=tests/system/test_4_wheel.py $(ARGS)

test-outside: $(CLUSTERS) ## the wheel in an empty folder, the tutorial, trainers that read an export, the evidence in small
	PRESEL_SYSTEM=1 $(BIN)/pytest -o faulthandler_timeout=900 \
		tests/system/test_4_wheel.py tests/docs/test_tutorial.py tests/export/test_consumers.py tests/test_replication.py $(ARGS)

evidence: $(READY) ## does the selection earn its money? benchmarks/replication, gone on from where it was; docs/evidence.md
	$(BIN)/python -m benchmarks.replication $(ARGS)

mutants: $(READY) ## do the tests notice wrong code? ARGS=presel/config/keys.py: one file; all of them take hours
	$(BIN)/python -m benchmarks.mutants $(ARGS)

check: $(READY) ## lint, format, types, import contracts, declared dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	@touch $@

$(CLUSTERS): $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev,ray,dask]'
	@touch $@

clean:
	rm -rf $(VENV) presel-demo presel-evidence .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
