PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements.lock
# Modules are compiled when they are first imported: most of what is installed never is. What was
# compiled is kept, whatever the environment says: torch and Transformers take 12 s without it, at
# every start of every worker.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := $(BIN)/pip install --quiet --no-compile --constraint $(LOCK)
PACKAGING := pyproject.toml setup.py $(LOCK)
# One environment; a stamp says what it has.
APP := $(VENV)/.ready-app
NOTEBOOKS := $(VENV)/.ready-notebooks
TEST := $(VENV)/.ready-test
# The version that torch 2.13.0 pins where it is built for CUDA: one lock serves both builds.
TRITON := triton==3.7.1

.PHONY: app demo notebooks test lint types lock

app: $(APP)
	$(BIN)/manticore app

demo: $(APP)
	$(BIN)/manticore demo

# The notebooks of the workshop in JupyterLab. Their runs go to notebooks/runs.
notebooks: $(NOTEBOOKS)
	cd notebooks && ../$(BIN)/jupyter lab

test: $(TEST)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --durations 30

lint: $(TEST)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(TEST)
	$(BIN)/basedpyright --pythonpath $(BIN)/python

# The versions that are installed, for when the tests pass with them. To try newer ones within the
# bounds of pyproject.toml: rm -rf .venv, then make test LOCK=/dev/null, then make lock.
lock: $(TEST)
	{ echo "# Versions that the tests passed with. Written by \`make lock\`; used by make as constraints."; \
	  $(BIN)/pip freeze --exclude-editable | grep -v '^triton==' | sed 's/+.*//'; \
	  echo "$(TRITON)"; } > requirements.lock

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

$(APP): $(PACKAGING) | $(BIN)/pip
	$(INSTALL) --editable ".[app]"
	touch $(APP)

$(NOTEBOOKS): $(PACKAGING) | $(BIN)/pip
	$(INSTALL) --editable ".[app,lora,notebook]"
	touch $(APP) $(NOTEBOOKS)

$(TEST): $(PACKAGING) | $(BIN)/pip
	$(INSTALL) --editable ".[test]"
	touch $(APP) $(NOTEBOOKS) $(TEST)
