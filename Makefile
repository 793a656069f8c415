# `make app` opens the app, `make test` runs the tests; both make `.venv` first where it is missing.
#
#   make app ARGS="--port 8000"        arguments for app.py (also for bench and pretrain)
#   make app PYTHON=/path/to/python    which Python makes .venv, 3.11 or newer

VENV := .venv
RUN := $(VENV)/bin/python
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c "$(NEW_ENOUGH)" 2>/dev/null && echo $$p && break; done)

.PHONY: help app setup test test-all lint bench docs pretrain
.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / { printf "%-12s%s\n", $$1, $$2 }' Makefile

app: $(VENV)/.app  ## open the app in the browser
	$(RUN) app.py $(ARGS)

setup: $(VENV)/.dev  ## install everything for app and tests into .venv

test: $(VENV)/.dev  ## all tests but the slow ones
	$(RUN) -m pytest -m "not slow" $(ARGS)

test-all: $(VENV)/.dev  ## all tests
	$(RUN) -m pytest $(ARGS)

lint: $(VENV)/.dev  ## ruff, without changing a file
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check

bench: $(VENV)/.app  ## measure speed on this machine
	$(RUN) -m t2app bench $(ARGS)

docs: $(VENV)/.dev  ## write docs/cli.md from the program
	$(RUN) -m t2app.cli.document > docs/cli.md

pretrain: $(VENV)/.app  ## make the built-in model again (takes up to 90 minutes on two cores)
	$(RUN) -m t2app pretrain $(ARGS)

# The stamps are younger than the requirement files that are installed, and than Python itself.
$(VENV)/.app: requirements.txt $(RUN)
	$(RUN) -m pip install -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements.txt requirements-dev.txt $(RUN)
	$(RUN) -m pip install -r requirements-dev.txt
	@touch $(VENV)/.app $@

$(RUN):
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer was not found. Install it, or say where it is: make PYTHON=/path/to/python" >&2; exit 2; }
	@"$(PYTHON)" -c "$(NEW_ENOUGH)" || { echo "$(PYTHON) is not Python 3.11 or newer. Choose another: make PYTHON=/path/to/python" >&2; exit 2; }
	@"$(PYTHON)" -c "import ensurepip, venv" || { echo "$(PYTHON) cannot make virtual environments. On Debian or Ubuntu: apt install python3-venv" >&2; exit 2; }
	"$(PYTHON)" -m venv --clear $(VENV)
