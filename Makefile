# make certify   build the environment, certify the reference node, leave reports/latest/index.html
# make bench     print how fast things are: requests, messages, starts of components, signatures, the intersection
# make test      build the environment and run everything that CI runs
# make audit     ask the vulnerability service about the tested set; says so where it cannot be reached
# make sbom      write the bill of materials of the tested set, build/sbom.cdx.json (CycloneDX)
# make constraints   take the newest releases into supply/node.txt and supply/tested.txt: run the tests, then commit
VENV   := .venv
BIN    := $(VENV)/bin
PYTHON ?= python3
PLAIN  := $(VENV)/.installed
STAMP  := $(VENV)/.installed-for-tests

PINNED := $(BIN)/python -m pip install --quiet --require-hashes --requirement
OURS   := $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
NEWEST := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --annotation-style line --custom-compile-command 'make constraints'

.PHONY: certify test lint bench load trace proto audit sbom constraints clean

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
	$(BIN)/python -m loadtests.bench_connections
	$(BIN)/python -m loadtests.bench_store
	$(BIN)/python -m loadtests.bench_psi --items 10000

load: $(STAMP)
	$(BIN)/python -m loadtests.smoke --demo

trace: $(STAMP)
	$(BIN)/hutong trace --check

proto: $(STAMP)
	$(BIN)/python -m reference_node.proto.generate

audit: $(STAMP)
	$(BIN)/python -m supply.audit

sbom: $(STAMP)
	$(BIN)/python -m supply.sbom build/sbom.cdx.json

constraints: $(STAMP)
	$(NEWEST) pyproject.toml supply/build.in --all-extras --output-file supply/tested.txt
	$(NEWEST) pyproject.toml supply/build.in --constraint supply/tested.txt --output-file supply/node.txt

$(PLAIN): pyproject.toml supply/node.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "On Debian: apt-get install python3-venv"; exit 1; }
	$(PINNED) supply/node.txt
	$(OURS)
	@touch $@

$(STAMP): pyproject.toml supply/tested.txt | $(PLAIN)
	$(PINNED) supply/tested.txt
	$(OURS)
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info reports/latest
