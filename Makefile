# `make` lists the commands. Every one of them sets up what it needs; the second time that takes no time.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON_IN_VENV := .venv/bin/python
PACKAGES := ontology knowledge api worker portal
CODE := $(PACKAGES) tests benchmarks migrations
EXISTING_CODE = $(wildcard $(CODE))

.PHONY: help install install-test run test check lint fix bench faults limits growth steady fuzz isolation eval migrate migration reindex openapi register shell

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install:
	@ops/bootstrap.sh run

install-test: install
	@ops/bootstrap.sh test

run: install ## start everything and print the address (PORT=8000 DATA_DIR=.data WEB_PROCESSES=1)
	@$(PYTHON_IN_VENV) -m portal run --stop-with-parent

test: check ## make check, then every test, the browser journeys included
	@export CHROMIUM="$$(ops/find_chromium.sh)" && [ -n "$$CHROMIUM" ] && $(PYTHON_IN_VENV) -m pytest $(ARGS)

check: install-test ## style, format, types and import rules
	@.venv/bin/ruff check $(EXISTING_CODE)
	@.venv/bin/ruff format --check $(EXISTING_CODE)
	@.venv/bin/pyright
	@.venv/bin/lint-imports

lint: install-test ## style only
	@.venv/bin/ruff check $(EXISTING_CODE)

fix: install-test ## repair style and format
	@.venv/bin/ruff check --fix $(EXISTING_CODE)
	@.venv/bin/ruff format $(EXISTING_CODE)

bench: install-test ## measure the API and search; results go to benchmarks/results
	@$(PYTHON_IN_VENV) -m benchmarks $(ARGS)

faults: install-test ## kill, hang and fill up each part under load, and judge what is left (ARGS="database redis-full" runs some)
	@$(PYTHON_IN_VENV) -m benchmarks.faults $(ARGS)

limits: install-test ## make a million decisions of the rate limiter and judge each (ARGS="--decisions 50000" is quicker)
	@$(PYTHON_IN_VENV) -m benchmarks.limits $(ARGS)

growth: install-test ## measure beside a thousand organisations with a million things (ARGS="--calls 100000" is quicker)
	@$(PYTHON_IN_VENV) -m benchmarks.growth $(ARGS)

steady: install-test ## ten thousand requests a minute for ten minutes; nothing may be lost (ARGS="--minutes 1" is quicker)
	@$(PYTHON_IN_VENV) -m benchmarks.steady $(ARGS)

fuzz: install-test ## send tens of thousands of generated requests and judge each answer (ARGS="--cases 5000 --seeds 1" is quicker)
	@$(PYTHON_IN_VENV) -m benchmarks.fuzz $(ARGS)

isolation: install-test ## attack every row of every stranger through every place with every key; `make test` takes a cover of it
	@ISOLATION=full $(PYTHON_IN_VENV) -m pytest tests/contracts/test_isolation.py tests/contracts/test_planted_holes.py $(ARGS)

eval: install-test ## measure what search finds; writes the figures and their page (ARGS="dbt-faq own" runs some)
	@$(PYTHON_IN_VENV) -m benchmarks.evaluation $(ARGS)

migrate: install ## bring the database to the newest migration
	@$(PYTHON_IN_VENV) -m portal migrate

migration: install ## write a new migration: make migration m="add things"
	@test -n "$(m)" || { echo 'say what it does: make migration m="add things"'; exit 1; }
	@$(PYTHON_IN_VENV) -m portal migration "$(m)"

reindex: install ## rebuild the search index from the database while the program runs
	@$(PYTHON_IN_VENV) -m portal reindex

openapi: install ## print the OpenAPI document
	@$(PYTHON_IN_VENV) -m portal openapi

shell: install ## an asyncio prompt with the settings of this directory
	@$(PYTHON_IN_VENV) -m portal shell
