# Every target does its own set-up; `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help serve test conformance fuzz torture bench check format lock clean

# Given on the command line or in the environment; the scripts say what happens when they are not.
export PYTHON
export PORT
export DATA_DIR

# How many processes run the tests. More than the cores of a small machine only makes them wait.
TEST_WORKERS ?= 2

# HOST counts only on the command line: some shells put the machine's own name into a variable of this name,
# and the service would answer the whole network without anybody having asked for it.
ifneq ($(origin HOST),command line)
override HOST :=
endif
export HOST

help: ## List these targets
	@sed -n 's/^\([a-z][a-z]*\):.*## /\1\t/p' Makefile | while IFS='	' read -r target text; do \
		printf '  make %-8s %s\n' "$$target" "$$text"; done

serve: ## Start the service; PORT=, HOST= and DATA_DIR= override, ARGS= adds options
	@scripts/environment.sh runtime
	@exec .venv/bin/customary serve $${HOST:+--host "$$HOST"} $${PORT:+--port "$$PORT"} \
		$${DATA_DIR:+--data-dir "$$DATA_DIR"} $(ARGS)

test: ## Run every test; ARGS= adds options, as in ARGS='-k archive'
	@scripts/environment.sh development
	@.venv/bin/python -m pytest -n $(TEST_WORKERS) $(ARGS)

conformance: ## Examine every published operation and write docs/conformance.md
	@scripts/environment.sh development
	@.venv/bin/python -m tests.conformance

fuzz: ## Fuzz the served documents; CASES=100000 and SEED= say how much and which
	@scripts/environment.sh development
	@.venv/bin/python -m tests.fuzz $(if $(CASES),--cases $(CASES)) $(if $(SEED),--seed $(SEED)) $(ARGS)

torture: ## Kill workers while they deliver; KILLS=2000 and SEED= say how often and where
	@scripts/environment.sh development
	@.venv/bin/python -m tests.faults.delivery_torture $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

bench: ## Measure what docs/performance.md shows
	@scripts/environment.sh development
	@.venv/bin/python -m bench.hanging_receiver

check: ## Check lint, format, types and the direction of imports
	@scripts/environment.sh development
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/basedpyright
	.venv/bin/lint-imports --no-logo

format: ## Write the sources in the house's format
	@scripts/environment.sh development
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

lock: ## Compile requirements/*.in into pins; UPGRADE=1 takes the newest versions
	@scripts/lock.sh $(if $(UPGRADE),--upgrade)

clean: ## Remove the virtual environment and everything else that the targets made here
	rm -rf .venv .venv.lock .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
