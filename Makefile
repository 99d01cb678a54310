# make demo   the main job on three regions of this machine      make test   everything that CI runs
PYTHON ?= python3
BIN := .venv/bin
export PYTHONDONTWRITEBYTECODE :=
# What must be there for the tests: a missing one fails instead of being skipped.
export FEDML_REQUIRE ?= file,s3,gcs,azure,seaweedfs,rclone,s3rver,browser

.PHONY: demo test check types conformance chaos soak bench node-bundle format clean

demo:
	@$(PYTHON) tools/environment.py demo
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash tools/demo.sh

# Tests wait more than they work, so there are more workers than cores.
WORKERS ?= 6
test: .dev
	@$(MAKE) --no-print-directory -j 2 --output-sync check compiled
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup tests

check: .dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/complexipy federation regions jobs tools --max-complexity-allowed 25 --failed --plain

# Compiles all tests, with pytest's assertions: else each worker does.
.PHONY: compiled
compiled: .dev
	@$(BIN)/python -m pytest -qq --collect-only tests > /dev/null 2>&1 || true

conformance: .dev
	$(BIN)/python -m pytest -q tests/conformance

SEEDS ?= 200
SEED ?= 1000
chaos: .dev
	SEEDS=$(SEEDS) SEED=$(SEED) $(BIN)/python -m pytest -q tests/federation/run/brain/test_chaos.py

# Examples that each of the attacker's 13 properties tries in a soak, over 100,000 together (a 14th, of driven runs, at most 400); `make test` tries a dozen each.
ATTACK_EXAMPLES ?= 8000

# The long versions of tests, for before a release: they ask the environment variable SOAK.
soak: .dev
	SOAK=1 $(BIN)/python -m pytest -q $$(grep -rl 'import examples$$' tests --include='test_*.py') tests/jobs/hcl/test_fuzz.py tests/regions/local/http/test_nonsense.py tests/conformance \
		tests/regions/local/http/test_crash.py tests/regions/local/scheduler/test_properties.py \
		tests/regions/storage/test_conformance.py tests/regions/storage/test_scale.py tests/regions/storage/test_processes.py \
		tests/federation/index/test_linearizable.py tests/federation/index/test_linearizable_processes.py tests/federation/index/test_time_travel.py \
		tests/scenarios/test_scripts.py tests/scenarios/test_upgrade.py tests/scenarios/partitions
	ATTACK_EXAMPLES=$(ATTACK_EXAMPLES) $(BIN)/python -m pytest -q --timeout 0 tests/attack

bench: .dev
	$(BIN)/python -m tests.bench

node-bundle: .dev
	$(BIN)/python -m federation.publish.bundle.build --out build

format: .dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: .dev
.dev:
	@$(PYTHON) tools/environment.py demo dev
	@$(PYTHON) tools/azurite.py
	@$(PYTHON) tools/chromium.py

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .hypothesis
