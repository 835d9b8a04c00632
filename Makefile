# Two commands on a bare machine: `make demo`, `make test`. PYTHON names the interpreter that makes .venv (3.11 or newer).
PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help demo test lint bench bench-sae peers clean
.DEFAULT_GOAL := help

help: ## list these commands
	@grep -E '^[a-z.]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z.]+):.*## (.*)/make \1\t\2/' | expand -t 16

demo: .venv ## label and score real cells offline; the report is runs/demo/report/index.html
	$(BIN)/autointerp demo --out runs/demo

test: .venv ## run the tests; ARGS="-k name" for some of them
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

lint: .venv ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv ## every benchmark under eval/bench, one after the other
	@set -e; for file in $(sort $(wildcard eval/bench/[a-z]*.py)); do \
		echo "== $$file"; $(BIN)/python -m "eval.bench.$$(basename $$file .py)" $(ARGS); done

bench-sae: .venv ## speed of training and encoding beside the peers that are installed (make peers)
	$(BIN)/python -m eval.bench.sae_speed $(ARGS)

# An environment of their own: their pins clash with ours, and one of them patches torch. torchvision comes along with
# transformers and fits no CPU build of torch; nothing here needs it.
peers: .venv ## install SAELens, sparsify and dictionary_learning in .venv-peers, for tests and benchmarks beside them
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 \
		sae-lens==6.54.12 eai-sparsify==1.3.3 dictionary-learning==0.1.0
	.venv-peers/bin/python -m pip uninstall --quiet --yes torchvision

clean: ## remove what is built and cached, but neither .venv nor runs/
	rm -rf build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find autointerp sae eval tests -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: .venv
.venv: $(STAMP) ## create .venv and install with constraints.txt

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
		{ echo "cannot make .venv; on Debian and Ubuntu: apt-get install python3-venv"; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[cells,images,plots,local,dev]"
	@touch $@
