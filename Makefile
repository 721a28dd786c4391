# Every target calls a tool that also runs without make (Windows: see the README).
# GNU make 3.81, the one on macOS, is enough. Paths are relative, so the folder's own path may hold spaces.

PYTHON ?= python3
PY     := .venv/bin/python
PIP    := $(PY) -m pip --disable-pip-version-check
# One pytest for everything: nbval runs the notebooks, a notebook's cells stay on one worker.
PYTEST := $(PY) -m pytest -n 2 --dist loadscope --nbval-lax --nbval-current-env \
          --nbval-cell-timeout 300 --nbval-sanitize-with tests/nbval.cfg
# JupyterLab asks a newcomer about its newsletter, over the corner of the lecture.
NO_NEWS := {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}

.DEFAULT_GOAL := help
.PHONY: help course site lab labs test check lint train bench doctor clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

course: site  ## install into .venv, execute every lecture, write build/site/index.html

site: .venv/course.stamp  ## the same; what was executed before is not executed again
	$(PY) -m advcourse run

lab: .venv/course.stamp  ## open JupyterLab at the lectures, for this machine only
	$(PY) -m jupyterlab --ip=127.0.0.1 --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/lectures \
	  $$(test "$$(id -u)" != 0 || echo --allow-root)

labs: .venv/course.stamp  ## generate labs/ from solutions/
	$(PY) -m advcourse labs

test: lint  ## install the test tools too, then run every test
	$(PYTEST) $(wildcard tests lectures solutions labs)

check: lint  ## after every change: rules, unit tests, structure, stale labs; no notebook runs
	$(PYTEST) -m "not slow and not executes" tests/unit tests/notebooks

lint: .venv/test.stamp  ## ruff's rules and format
	$(PY) -m ruff check . && $(PY) -m ruff format --check .

train: .venv/course.stamp  ## train every checkpoint again
	$(PY) -m advcourse train

bench: .venv/bench.stamp  ## measure speed beside the floor and beside the peer libraries
	$(PY) -m benchmarks

doctor: .venv/course.stamp  ## can this machine run the course?
	$(PY) -m advcourse doctor

clean:  ## remove what runs left behind; .venv stays, delete it to install anew
	rm -rf build .pytest_cache .ruff_cache .hypothesis
	find . -path ./.venv -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

# A stamp is the last step of its install: an interrupted install leaves none and starts again.
.venv/course.stamp: pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'The course needs Python 3.11 or newer. Name yours: make course PYTHON=python3.12' >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo 'This Python cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@echo 'Installing into .venv: once, several minutes, most of it PyTorch.'
	"$(PYTHON)" -m venv .venv
	$(PIP) install -e .
	@mkdir -p .venv/share/jupyter/lab/settings && echo '$(NO_NEWS)' > .venv/share/jupyter/lab/settings/overrides.json
	@touch $@

.venv/test.stamp: .venv/course.stamp
	$(PIP) install -e ".[test]"
	@touch $@

# Without their dependencies: torchattacks would take requests back to 2.25, which breaks JupyterLab;
# adv-lib asks for visdom, which no longer builds, and only for its callbacks; cleverhans asks for
# TensorFlow Probability, and not for its PyTorch part. What they do import is there already.
# A peer that does not install is a line in the table that says so.
.venv/bench.stamp: .venv/test.stamp
	$(PIP) install -e ".[test,bench]"
	-$(PIP) install --no-deps torchattacks==3.5.1
	-$(PIP) install --no-deps adv-lib==0.2.8
	-$(PIP) install --no-deps cleverhans==4.0.0
	-$(PIP) install --no-deps pyautoattack==0.2.0
	@touch $@
