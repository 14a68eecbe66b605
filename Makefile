# Everything that this repository can do. `make help` lists it.
SHELL := /bin/sh
PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest -q

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long test-machines check unit bench clean lock

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | while IFS="	" read -r name text; do printf '  make %-14s %s\n' "$$name" "$$text"; done

setup: ## install what is missing, make .venv, start a Docker engine where none runs
	@bin/setup --dev

demo: ## build, deploy and prove the load balancer, and leave it running
	@bin/setup
	@$(PYTHON) systems/s3-lb/demo.py

test: ## what CI runs: check, then all tests
	@bin/test "not long"

test-long: ## what `make test` leaves out: full sweeps, soak, every kind of target and fault
	@bin/test "long and not emulated"

test-machines: ## the rest of it: machines that boot, whose processors are emulated here
	@bin/test "long and emulated"

unit: ## the fast tests alone
	@$(PYTEST) tests/unit tests/golden

check: ## formatting, lint, strict types, import contracts, generated files
	@.venv/bin/ruff format --check --quiet . || { .venv/bin/ruff format --diff --quiet .; exit 1; }
	@.venv/bin/ruff check --quiet .
	@.venv/bin/mypy
	@MYPYPATH=$$(echo systems/roles/*/files | tr ' ' ':') .venv/bin/mypy --strict --ignore-missing-imports \
	  systems/roles/*/files/*.py systems/s3-lb/*.py
	@.venv/bin/lint-imports --no-cache >.lint-imports.log 2>&1 || { cat .lint-imports.log; exit 1; }
	@rm -f .lint-imports.log
	@$(PYTHON) -m common.specs --check

bench: ## measure against peers, write .bench/results.json
	@bin/setup --dev
	@$(PYTHON) -m tests.bench

clean: ## remove every container, network, process and file that we made, and nothing else
	@bin/clean

lock: ## make the hashed requirements anew from requirements*.in
	@bin/lock
