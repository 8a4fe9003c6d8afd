PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: app demo test lint

$(READY): requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -r requirements.txt
	touch $(READY)

app: $(READY)
	$(BIN)/manticore app

demo: $(READY)
	$(BIN)/manticore demo

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --durations 30

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
