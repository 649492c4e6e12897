# Every target does its own set-up; `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help serve test conformance fuzz fuzzbytes framing torture bench plans growth peers resilience check inventory audit format lock clean

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
		printf '  make %-11s %s\n' "$$target" "$$text"; done

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

fuzzbytes: ## Fuzz with atheris what reads bytes; SECONDS=60 for each and TARGETS= say how long and what
	@scripts/environment.sh development
	@.venv/bin/python -m tests.fuzz.targets $(TARGETS) $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

framing: ## Send damaged requests to the real server; MUTATIONS=5000 and SEED= say how many and which
	@scripts/environment.sh development
	@.venv/bin/python -m tests.faults.framing_campaign $(if $(MUTATIONS),--mutations $(MUTATIONS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

torture: ## Kill workers, servers and databases; KILLS= and SEED= say how often and where, ARGS=--json
	@scripts/environment.sh development
	@.venv/bin/python -m tests.faults.delivery_torture $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED)) $(ARGS)
	@.venv/bin/python -m tests.torture $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

bench: ## Measure the service beside the least that is possible, at a million customers; QUICK=1 in minutes
	@scripts/environment.sh development
	@scripts/generator.sh
	@missed=0; .venv/bin/python -m bench $(if $(QUICK),--quick) $(ARGS) || missed=1; \
		.venv/bin/python -m bench.plans $(if $(QUICK),--customers 100000) || missed=1; \
		.venv/bin/python -m bench.transfer --customers $(if $(QUICK),20000,1000000) || missed=1; exit $$missed

plans: ## Explain the statements that are asked most, at a million customers; ARGS=--json
	@scripts/environment.sh development
	@.venv/bin/python -m bench.plans $(ARGS)

growth: ## Measure how costs grow, and draw docs/growth; QUICK=1 in minutes
	@scripts/environment.sh development
	@scripts/generator.sh
	@.venv/bin/python -m bench.growth $(if $(QUICK),--quick) $(ARGS)

peers: ## Measure the service beside what a team would otherwise take; QUICK=1 in minutes
	@scripts/environment.sh development
	@scripts/generator.sh
	@.venv/bin/python -m bench.peers $(if $(QUICK),--quick) $(ARGS)

resilience: ## Measure what the service does under overload, hanging receivers, restarts and guessed keys
	@scripts/environment.sh development
	@missed=0; for measurement in hanging_receiver overload restart credentials metrics; do \
		.venv/bin/python -m bench.$$measurement || missed=1; done; exit $$missed

check: ## Check lint, format, types, the direction of imports, and the packages
	@scripts/environment.sh development
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/basedpyright
	.venv/bin/lint-imports --no-logo
	.venv/bin/python -m scripts.inventory --check
	.venv/bin/python -m scripts.audit

inventory: ## Write what the packages are into docs/dependencies.md and the bill of materials
	@scripts/environment.sh development
	@.venv/bin/python -m scripts.inventory

audit: ## Ask which pins have known vulnerabilities; fail when nobody answers
	@scripts/environment.sh development
	@.venv/bin/python -m scripts.audit --required

format: ## Write the sources in the house's format
	@scripts/environment.sh development
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

lock: ## Compile requirements/*.in into pins; UPGRADE=1 takes the newest versions
	@scripts/lock.sh $(if $(UPGRADE),--upgrade)

clean: ## Remove the virtual environment and everything else that the targets made here
	rm -rf .venv .venv.lock .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
