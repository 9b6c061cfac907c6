# Every target makes the environment that it needs, so a machine with Python and make is enough.

VENV := .venv
BIN := $(VENV)/bin

# The first of these Pythons that Airflow 3 supports.
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11 python3.10; do \
	"$$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& command -v "$$python" && break; done)
UV := $(shell command -v uv)

# Test processes at a time; each has an Airflow and a Postgres of its own.
JOBS := 2
PYTEST = -m pytest -n $(JOBS) --dist loadgroup $(ARGS)
# What is true of the repository as a whole: its layers, its documents, its workflows.
WHOLE := tests/test_architecture.py tests/test_figures.py tests/test_packaging.py tests/test_repository.py
SUITES := tests/unit tests/postgres tests/model tests/airflow tests/interop $(WHOLE)

.PHONY: help setup demo docs diagrams clients test test-unit test-postgres test-hostile test-pooler test-airflow test-interop test-wheel test-oldest test-newest matrix browser browser-airflow31 chromium chaos check check-workflows format bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/installed clients ## Make the development environment in .venv, and one of other clients

demo: $(VENV)/installed ## Run Airflow, Postgres and PGMQ here and watch them; ARGS=--once verifies and exits
	$(BIN)/python -m demo $(ARGS)

test: $(VENV)/installed clients ## Run every test
	$(BIN)/python $(PYTEST) $(SUITES)

test-unit: $(VENV)/installed ## Run the tests that need neither Airflow nor Postgres
	$(BIN)/python $(PYTEST) tests/unit $(WHOLE)

test-postgres: $(VENV)/installed ## Run the tests on a real Postgres
	$(BIN)/python $(PYTEST) tests/postgres

test-hostile: $(VENV)/installed ## Run them again with unusual session settings of server and database
	$(BIN)/python $(PYTEST) tests/postgres --profile hostile

test-pooler: $(VENV)/installed ## Run them again behind PgBouncer in transaction mode
	$(BIN)/python $(PYTEST) tests/postgres --profile pooler $(ARGS)

test-model: $(VENV)/installed ## Compare periodic jobs with a model of what they promise, over random sequences of events
	$(BIN)/python $(PYTEST) tests/model

test-airflow: $(VENV)/installed ## Run the tests on a real Airflow
	$(BIN)/python $(PYTEST) tests/airflow

test-interop: $(VENV)/installed clients ## Run the tests with other clients of PGMQ
	$(BIN)/python $(PYTEST) tests/interop

test-wheel: $(VENV)/installed clients ## Run the tests against the built wheel; SUITE=tests/unit chooses
	$(BIN)/python -m tests.wheel -n $(JOBS) --dist loadgroup $(or $(SUITE),$(SUITES)) $(ARGS)

test-oldest: $(VENV)/installed ## Run the suites on the oldest Airflow that is supported, with the packages of its release date
	$(BIN)/python -m tests.matrix oldest $(foreach suite,$(SUITE),--suite $(suite)) $(if $(ARGS),-- $(ARGS))

test-newest: $(VENV)/installed ## Run them on the newest; SUITE=tests/airflow chooses
	$(BIN)/python -m tests.matrix newest $(foreach suite,$(SUITE),--suite $(suite)) $(if $(ARGS),-- $(ARGS))

matrix: $(VENV)/installed ## Run them on each Airflow: about an hour; ARGS="3.2.2 -- -k sensor" chooses
	$(BIN)/python -m tests.matrix $(ARGS)

browser: $(VENV)/installed chromium ## Run the tests of the page in a real browser, which take the pictures in docs/img
	$(BIN)/python -m pytest tests/browser --timeout 300 $(ARGS)

browser-airflow31: $(VENV)/installed chromium ## Run them on Airflow 3.1, without taking pictures
	JOBS=0 $(BIN)/python -m tests.matrix 3.1.8 $(foreach suite,$(or $(SUITE),tests/browser),--suite $(suite)) \
		-- --timeout 300 -k "not pictures" $(ARGS)

clients: $(VENV)/installed
	@$(BIN)/python -m tests.fixtures.clients

chromium:
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && apt-get update --quiet=2 && \
		apt-get install --quiet=2 --yes --no-install-recommends chromium fonts-inter fonts-noto-cjk; } || \
		echo "Chromium cannot be installed here: the tests will be skipped" >&2

chaos: $(VENV)/installed ## Run the tests that take minutes to an hour: killed triggerers, a million steps of the model
	$(BIN)/python -m pytest tests/airflow tests/interop tests/model tests/postgres -m chaos -v $(ARGS)
	EXAMPLES_FACTOR=20 $(BIN)/python -m pytest tests/unit/test_schedule_*.py --timeout 0 $(ARGS)

check: $(VENV)/installed check-workflows ## Check format, lint, types, layers and workflows
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

check-workflows: $(VENV)/installed ## Check the form of GitHub's files and the security of its workflows
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms \
		$(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	$(BIN)/zizmor --offline --quiet .

format: $(VENV)/installed ## Format the code and fix what the linter can
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format

docs: .venv-docs/site ## Build the website of docs/ in build/site; ARGS=--serve shows it
	.venv-docs/bin/python docs/website/build.py $(ARGS)

diagrams: .venv-docs/site ## Draw the pictures of docs/diagrams again, after their text has changed; needs Node
	cp docs/website/package*.json docs/website/diagrams.mjs .venv-docs/
	npm ci --prefix .venv-docs --ignore-scripts --no-audit --no-fund --loglevel=error
	node .venv-docs/diagrams.mjs docs

bench: $(VENV)/installed ## Measure, and write docs/why/benchmarks.md with its charts; ARGS=peers, ARGS=growth: more
	$(BIN)/python -m benchmarks $(ARGS)

clean: ## Remove environments, caches and builds
	rm -rf .venv .venv-* build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# Apart from the rest: it reads the package, and imports nothing of it.
.venv-docs/site: docs/website/requirements.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --requirement $<
	@touch $@

# Installed again whenever the dependencies change. An environment whose installation failed has no such file.
%/installed: pyproject.toml package-lock.json hatch_build.py
	@test -n "$(PYTHON)" || { echo "Python 3.10, 3.11, 3.12 or 3.13 is needed" >&2; exit 1; }
ifdef UV
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $*
	$(UV) pip install --quiet --python $*/bin/python --editable '.[dev]'
else
	$(PYTHON) -m venv $*
	$*/bin/python -m pip install --quiet --editable '.[dev]'
endif
	@touch $@
