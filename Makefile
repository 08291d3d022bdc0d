# make certify   build the environment, certify the reference node, leave reports/latest/index.html
# make bench     print how fast things are: requests, messages, starts of components, signatures, the intersection
# make test      build the environment and run everything that CI runs
VENV   := .venv
BIN    := $(VENV)/bin
PYTHON ?= python3
PLAIN  := $(VENV)/.installed
STAMP  := $(VENV)/.installed-for-tests

.PHONY: certify test lint bench load trace proto clean

certify: $(PLAIN)
	$(BIN)/hutong certify --demo --out reports/latest

test: lint $(STAMP)
	$(BIN)/python -m pytest -n auto --dist worksteal

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python -m loadtests.bench
	$(BIN)/python -m loadtests.bench_transport
	$(BIN)/python -m loadtests.bench_runtime
	$(BIN)/python -m loadtests.bench_sm2
	$(BIN)/python -m loadtests.bench_tls
	$(BIN)/python -m loadtests.bench_store
	$(BIN)/python -m loadtests.bench_psi --items 10000

load: $(STAMP)
	$(BIN)/python -m loadtests.smoke --demo

trace: $(STAMP)
	$(BIN)/hutong trace --check

proto: $(STAMP)
	$(BIN)/python -m reference_node.proto.generate

$(PLAIN): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "On Debian: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(STAMP): pyproject.toml | $(PLAIN)
	$(BIN)/python -m pip install --quiet --editable '.[dev,spu]'
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info reports/latest
