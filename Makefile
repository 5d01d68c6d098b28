# driftd: `make demo` to see it, `make test` before a change is sent, `make help` for the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.driftd-setup
CODE := $(wildcard monitor tests benchmarks deploy)
# Two more than the cores of a small machine: two workers have real parts, and mostly wait for them.
WORKERS ?= 4

.DEFAULT_GOAL := help
.PHONY: help setup demo test check types format clean sbom audit

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | while IFS="$$(printf '\t')" read -r name text; do printf '  %-8s %s\n' "$$name" "$$text"; done

setup: $(SETUP) ## make .venv and install driftd with its tools (again only when the dependencies change)

demo: setup ## run the daemon on generated traffic with planted incidents; needs neither Kafka nor Docker
	$(BIN)/driftd demo

test: check ## every check and every test
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

check: setup ## format, lint and types, without running the tests
	$(BIN)/ruff format --check $(CODE) hatch_build.py
	$(BIN)/ruff check $(CODE) hatch_build.py
	$(BIN)/mypy $(CODE)

types: setup ## types alone
	$(BIN)/mypy $(CODE)

format: setup ## put the code in form, and mend what ruff can mend
	$(BIN)/ruff format $(CODE) hatch_build.py
	$(BIN)/ruff check --fix $(CODE) hatch_build.py

sbom: setup ## write sbom.json: all that driftd is made of, C libraries too, in CycloneDX
	$(BIN)/python deploy/sbom.py sbom.json

audit: setup ## look for known vulnerabilities in what driftd is tested with (needs the network)
	$(BIN)/python deploy/audit.py

clean: ## remove caches and build products; .venv stays
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# Inside .venv, so that removing .venv is all it takes to start over.
$(SETUP): pyproject.toml constraints.txt hatch_build.py monitor/decode/templates.c
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "driftd needs Python 3.11 or newer; $(PYTHON) is: $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12" >&2; \
	  exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) can't make virtual environments: its ensurepip is missing. On Debian and Ubuntu: apt-get install python3-venv" >&2; \
	  exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[dev]'
	@touch $@
