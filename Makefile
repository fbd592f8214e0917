# The commands of this repository. Each does whatever set-up is missing, then its job.

.DEFAULT_GOAL := help
.PHONY: help setup rehearse test quick lint format bench lock

# The first Python that is new enough; `make PYTHON=… setup` chooses another.
PYTHON := $(shell for candidate in .venv/bin/python python3 python3.14 python3.13 python3.12 python3.11; do \
	if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$candidate; exit; fi; \
	done; echo python3)

# Tests wait for engines and clusters for a third of their time; each worker may start some with 1.5 GB.
WORKERS = $(shell $(PYTHON) -c 'import os; print(min(6, (os.cpu_count() or 1) + 1))')

# Tests, and what they start, are compiled once and not in every run.
unexport PYTHONDONTWRITEBYTECODE

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name what; do printf 'make %-10s %s\n' "$$name" "$$what"; done

setup: ## get everything that is missing (Python packages, Pulumi, etcd, Kubernetes control plane)
	@$(PYTHON) -m toolchain.setup

rehearse: setup ## an incident and its remedy on this machine, no cloud account; ARGS='--keep' passes options
	@.venv/bin/headroom rehearse $(ARGS)

test: ## all tests; ARGS='-k subnet' passes options to pytest
	@$(PYTHON) -m toolchain.setup --tests
	@.venv/bin/python -m pytest -n $(WORKERS) $(ARGS)

quick: setup ## the tests of every day: no engine, no cluster, nothing that takes long; ARGS as for test
	@.venv/bin/python -m pytest -n $(WORKERS) --hypothesis-profile=quick \
		-m 'not engine and not control_plane and not promtool and not actionlint and not slow' $(ARGS)

lint: setup ## formatting, style and types
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

format: setup ## format the code
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

bench: setup ## the benchmarks, each with its table
	@set -e; for benchmark in benchmarks/*.py; do echo "== $$benchmark"; .venv/bin/python $$benchmark; done

lock: ## resolve the dependencies anew into the lock files (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --all-extras --group dev \
		--no-header --no-emit-index-url --constraint toolchain/constraints.txt \
		--quiet --output-file requirements.lock pyproject.toml
	uv pip compile --universal --python-version 3.11 --generate-hashes \
		--no-header --no-emit-index-url --constraint requirements.lock \
		--quiet --output-file templates/ci/requirements.txt templates/ci/requirements.in
	uv pip compile --universal --python-version 3.11 --generate-hashes \
		--no-header --no-emit-index-url --constraint requirements.lock \
		--quiet --output-file templates/ci/propose.txt templates/ci/propose.in
	uv pip compile --universal --python-version 3.11 --generate-hashes \
		--no-header --no-emit-index-url --no-annotate \
		--quiet --output-file benchmarks/peers.lock benchmarks/peers.in
	for tool in uv-command go; do uv pip compile --universal --python-version 3.11 --generate-hashes \
		--no-header --no-emit-index-url --no-annotate --quiet --upgrade \
		--output-file toolchain/$$tool.lock toolchain/$$tool.in; done
