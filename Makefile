# make demo    events between real processes, compared with their ledgers; KEEP=1 leaves it up with a dashboard, until Ctrl-C
# make test    all that a contributor must see pass
# make test-browser  the dashboard in Chromium, which it installs where it may
# make bench   NodeSet beside the brokers that one would pick else; QUICK=1 for two minutes of it, OPTIONS=--help for more
# make bench-cli  what the commands for people cost, how true nodeset bench is; QUICK=1 for a minute of it
# make bench-http  nodeset-web beside other web servers that publish, fan out by SSE; QUICK=1 for two minutes of it
# make bench-processes  nodeset-processes beside supervisord, circusd; QUICK=1 for four minutes of it
# make faults  every fault scenario, half an hour; make faults QUICK=1 is the short version
# make test-api  the web API tried with all that its openapi.json allows, or not; three minutes
# make lint    ruff, mypy: the quick half of it
# make docs    the documentation as a site, in docs/_build
# make clean   back to a fresh clone, .venv included

PYTHON ?= python3
STAMP := .venv/.installed

.PHONY: demo test test-browser test-api bench bench-cli bench-http bench-processes docs faults lint clean .venv
.DEFAULT_GOAL := test

demo: .venv
	@.venv/bin/python examples/demo.py $(if $(KEEP),--keep)

test-browser: .venv
	@.venv/bin/python -m tests.browser.run

test: .venv
	@.venv/bin/python tests/run.py

test-api: .venv
	@.venv/bin/python -m pip install --disable-pip-version-check --no-input -q -e '.[all,test,fuzz]'
	@.venv/bin/python -m tests.tryapi

bench: .venv
	@.venv/bin/python -m benchmarks.run $(if $(QUICK),--quick) $(OPTIONS)

bench-cli: .venv
	@.venv/bin/python -m benchmarks.cli $(if $(QUICK),--quick) $(OPTIONS)

bench-http: .venv
	@.venv/bin/python -m benchmarks.http $(if $(QUICK),--quick) $(OPTIONS)

bench-processes: .venv
	@.venv/bin/python -m benchmarks.processes $(if $(QUICK),--quick) $(OPTIONS)

docs: .venv
	@.venv/bin/python -m sphinx -q -W --keep-going -n -E -d docs/_build/doctrees docs docs/_build/html
	@echo "open docs/_build/html/index.html"

faults: .venv
	@.venv/bin/python -m tests.faults.run $(if $(QUICK),--quick)

lint: .venv
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m ruff format --check .
	@.venv/bin/python -m mypy

clean:
	@rm -rf .venv build dist docs/_build *.egg-info .mypy_cache .ruff_cache .hypothesis .demo .bench _trial_temp* .coverage* htmlcov
	@rm -f twisted/plugins/dropin.cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv: $(STAMP)

# The stamp holds the path for which .venv was built: its scripts name that path, so a checkout that was moved needs
# a new one.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
$(STAMP): elsewhere
endif
.PHONY: elsewhere
elsewhere:

$(STAMP): setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "make: NodeSet needs Python 3.11 or newer, $(PYTHON) is not: say for example make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "make: $(PYTHON) has no venv: install it first (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "building .venv, a minute the first time ..."
	@test "$$(cat $@ 2>/dev/null)" = "$(CURDIR)" && .venv/bin/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear .venv
	@.venv/bin/python -m pip install --disable-pip-version-check --no-input -e '.[all,dev]' >.venv/pip.log 2>&1 || \
	  { cat .venv/pip.log >&2; exit 1; }
	@printf '%s\n' "$(CURDIR)" >$@
