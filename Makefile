# Everything runs in .venv, made from constraints.txt. `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
export DAGSTER_DISABLE_TELEMETRY := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo dev test check format bench lock clean distclean readme

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: .venv/.complete ## create the environment

# torch goes first and by itself: the exact version is the CPU build where one is offered.
.venv/.complete: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say which: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' constraints.txt)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup ## real text to evaluated models, then a report
	$(BIN)/mixwright demo

dev: setup ## the Dagster user interface on what the demo made
	$(BIN)/mixwright dev

test: setup ## every test
	$(BIN)/pytest -n 2 --dist loadgroup $(PYTEST)

check: setup ## lint, format, types, import rules, definitions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/mixwright validate

format: setup ## rewrite the sources in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## speed against peers, into benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks.run $(BENCH)

lock: setup ## write the versions now in .venv to constraints.txt
	{ echo "# Exact versions of the whole environment, by make lock. torch is installed first (see Makefile)."; \
	  $(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//'; } > constraints.txt

clean: ## remove everything the demo made (downloads too)
	rm -rf .mixwright .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

distclean: clean ## ... and the environment
	rm -rf .venv

readme: setup ## put what the last demo printed into README.md
	$(BIN)/python docs/print_demo.py
