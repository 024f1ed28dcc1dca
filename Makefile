# Two commands matter: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3
BIN := .venv/bin
VENV := @$(PYTHON) scripts/make_venv.py
# What runs here stays on this machine.
export ROS_AUTOMATIC_DISCOVERY_RANGE := LOCALHOST

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 22

demo: ## Predict a crowd with the real node; table on screen, pictures in demo_output/
	$(VENV)
	@$(BIN)/social_implicit_demo

test: ## Check style and types, run every test that needs no torch
	$(VENV) test
	@$(BIN)/python scripts/build_test_interfaces.py
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest --benchmark-disable

test-training: ## Add torch, run the tests of training and export
	$(VENV) test training
	$(BIN)/mypy
	$(BIN)/pytest test/training

OLDEST := .cache/oldest
test-oldest: ## Try the libraries of ROS Humble (needs python3.10)
	@test -x $(OLDEST)/bin/python || python3.10 -m venv $(OLDEST)
	@$(OLDEST)/bin/python -m pip install --quiet --requirement requirements/oldest.txt
	PYTHONPATH=. $(OLDEST)/bin/python -m pytest test/unit test/fuzz --ignore=test/unit/ros

lint: ## Mend style where a tool can, name the rest
	$(VENV) test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/mypy

bench: ## Measure speed: tables on screen, ratios in bench.json
	$(VENV) test training
	@$(BIN)/python scripts/build_test_interfaces.py
	$(BIN)/pytest test/benchmark --benchmark-only

fuzz: ## Try over 100,000 inputs that nobody means to send (minutes)
	$(VENV) test fuzz
	$(BIN)/python scripts/run_fuzzers.py

MINUTES ?= 15
soak: ## Run the node under load for MINUTES=15: missed ticks, memory, handles
	$(VENV) test
	@$(BIN)/python scripts/build_test_interfaces.py
	$(BIN)/python scripts/soak.py --minutes $(MINUTES)

audit: ## Look the pinned versions up among known vulnerabilities
	$(VENV) audit
	$(BIN)/python scripts/audit.py

models: ## Train every shipped model again (hours; needs SOCIAL_IMPLICIT_DATA)
	$(VENV) training
	$(BIN)/train_benchmark --out social_implicit_ros/models/weights
	$(BIN)/train_social_zone --out social_implicit_ros/models/weights

lock: ## Pin the newest versions that fit the requirements (needs uv)
	requirements/lock.sh

clean: ## Remove the environment and everything made
	rm -rf .venv .cache build install log demo_output *.egg-info

.PHONY: help demo test test-training test-oldest lint bench fuzz soak audit models lock clean
