# Two commands: `make demo` runs the main job, `make test` checks everything. Each sets up what it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS := $(shell nproc 2>/dev/null || echo 2)
DEBIAN := libportaudio2 mosquitto openssl pulseaudio pulseaudio-utils libasound2-plugins espeak-ng chromium

.PHONY: demo test package lint format bench clean setup

demo: setup
	$(BIN)/streamer replay streamer/samples/call.ogg --channels agent,customer --report build/demo.html

# A process for each core, and a thread for each process: torch's threads wait by spinning, and where more of them run than
# there are cores, small products take twenty times as long.
test: lint
	@$(MAKE) --no-print-directory debian
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile
	@$(MAKE) --no-print-directory package

# The wheel in empty environments: what its base can do, and a replay with [analyze]. No network.
package: setup
	$(BIN)/python -m tools.package

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python -m tools.benchmark

setup: $(READY)

# torch comes first and alone: its CPU build must be there before anything asks for any torch at all.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "Python's venv is missing: sudo apt-get install python3-venv"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all]' --group dev
	touch $@

# System packages that some tests use; what cannot be installed is said, and those tests skip.
.PHONY: debian
debian:
	@missing=""; for package in $(DEBIAN); do \
		dpkg -s $$package >/dev/null 2>&1 || missing="$$missing $$package"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y $$missing >/dev/null \
			|| echo "could not install$$missing: the tests that need them will skip"; \
	else \
		echo "some tests will skip; to run them: sudo apt-get install$$missing"; \
	fi

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
