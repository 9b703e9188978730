# make demo   the whole path on two real structures, ending in demo/report.html
# make test   all tests
# Each sets up its own .venv on the first call; later calls start at once.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
PROCESSES ?= 2
BIN := $(VENV)/bin
# Threads that wait should sleep: on a machine that others use too, spinning ones can make training 20 times slower.
OMP_WAIT_POLICY ?= passive
export OMP_WAIT_POLICY
# Byte-compiling all of torch takes longer than compiling, at first use, the part that is used.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt

.PHONY: help demo test lint bench clean

help:
	@sed -n 's/^# //p' Makefile

demo: $(VENV)/demo.stamp
	$(BIN)/python examples/demo.py --output demo

# Two processes of one thread each: the suite is many small computations, which more threads do not speed up.
test: $(VENV)/dev.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile $(TESTS)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .

bench: $(VENV)/dev.stamp
	@for program in benchmarks/bench_*.py benchmarks/intake.py benchmarks/training_step.py; do echo "== $$program"; $(BIN)/python $$program || exit 1; done

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .ruff_cache .hypothesis

# torch comes first and alone: nothing that follows may move it to another build.
$(VENV)/torch.stamp: constraints.txt
	@test -n "$(PYTHON)" || { echo "tertia needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version) (once, about a minute) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) torch
	@touch $@

$(VENV)/demo.stamp: $(VENV)/torch.stamp pyproject.toml
	@$(PIP) -e '.[demo]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/torch.stamp pyproject.toml
	@$(PIP) -e '.[dev]'
	@touch $@
