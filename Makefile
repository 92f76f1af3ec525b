# Thin lines over the real commands; with conda, run the same commands in the environment instead.

PROFILE ?= miniworld
# Further words of a run: make reproduce ARGS="-p SEED=1"; DATA names the folder of a profile's data.
ARGS ?=
RUN = $(PYTHON) -m comc_utils reproduce --profile $(PROFILE) $(if $(DATA),--data '$(DATA)') $(ARGS)
PYTHON = .venv/bin/python
PYTEST = $(PYTHON) -m pytest --numprocesses auto --dist loadscope --no-loadscope-reorder
SOURCES = benchmarks comc_utils tests notebooks

.PHONY: reproduce reproduce-all try test test-all lint lab app bench smoke-notebooks constraints

# Run the notebooks in order and write results/$(PROFILE).
reproduce: .venv/ready
	$(RUN)

# A look at one notebook: a run of seconds, whose numbers say nothing.
try: .venv/ready
	$(RUN) --smoke --only 03

# The second ResNet, too, and every search of a learning rate: results/miniworld-all.
reproduce-all: .venv/ready
	$(PYTHON) -m comc_utils reproduce --only 10 11 12 --results results/miniworld-all \
	    -p SEARCH=True -p 'BACKBONES=["miniworld-RN-small", "miniworld-RN-large"]'
	$(PYTHON) -m comc_utils reproduce --only 13 --results results/miniworld-all --backbone miniworld-RN-large

# The checks, without what is slow and seldom breaks.
test: lint
	$(PYTEST) -m 'not slow'

# Every check, and how much of the code they reach.
test-all: lint
	$(PYTEST) --cov

lint: .venv/ready
	$(PYTHON) -m ruff check $(SOURCES)
	$(PYTHON) -m ruff format --check $(SOURCES)

lab: .venv/ready
	$(PYTHON) -m jupyterlab notebooks

# Your photos in a page: ARGS="--model miniworld-RN-small" tries it on drawn scenes. Its server is an extra.
app: .venv/ready
	$(PYTHON) -m pip install -qq --constraint constraints.txt voila
	$(PYTHON) -m comc_utils app $(ARGS)

# How fast, each line against a plain reference in the same run: results/benchmarks. Leave the machine to it.
bench: .venv/ready
	$(PYTHON) -m benchmarks

# After a change of a notebook: run it anew for the comparison in tests/smoke_notebooks.
smoke-notebooks: .venv/ready
	$(PYTHON) tests/refresh_smoke_notebooks.py

# After a change of the dependencies: choose the exact versions anew.
constraints: .venv/ready
	$(PYTHON) -m pip install --quiet uv
	sed -i '/^[^#]/d' constraints.txt
	$(PYTHON) -m uv pip compile --quiet --universal --python-version 3.10 --extra test --extra app --extra local-llm --extra openvino --extra ray \
	    --no-header --no-annotate pyproject.toml >> constraints.txt

# Stamped at the end, so that an interrupted installation is taken up again.
.venv/ready: pyproject.toml constraints.txt
	@echo "Installing the pinned dependencies into .venv (some minutes, the first time)"
	python3 -m venv .venv
	$(PYTHON) -m pip install -qq --constraint constraints.txt --editable '.[test]'
	touch $@
