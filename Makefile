# `make demo` and `make test` need nothing but Python 3.11 and this clone; `make help` lists the rest.
.DEFAULT_GOAL := help
.PHONY: help demo run test check verify bench soak clean

PYTHON_IN_VENV := .venv/bin/python
# A configuration without a broker means a private one, which needs RabbitMQ's server.
PRIVATE_BROKER = .venv/bin/fleet config check --json 2>&1 | grep -q '"private_broker": true'

help: ## what there is to make
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

demo: ## the whole fleet on simulated venues, until Ctrl-C; or for SECONDS=60, with a verdict
	@scripts/bootstrap.sh --broker
	@exec .venv/bin/fleet demo $(if $(SECONDS),--seconds $(SECONDS))

run: ## the live venues of config.json, until Ctrl-C
	@scripts/bootstrap.sh
	@if $(PRIVATE_BROKER); then scripts/bootstrap.sh --broker; fi
	@exec .venv/bin/fleet up --foreground

# Most tests wait, so that three at a time suit two cores: see tests/lanes.py.
test: ## the whole suite, against real brokers
	@scripts/bootstrap.sh --dev --broker --redis
	@exec $(PYTHON_IN_VENV) -m pytest -n 3 --dist loadfile --no-loadscope-reorder

check: ## format, lint, types and unit tests: seconds
	@scripts/bootstrap.sh --dev
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/ruff check --quiet .
	@.venv/bin/mypy
	@exec $(PYTHON_IN_VENV) -m pytest -q tests/unit

# What needs a whole processor first, by itself: what follows measures how soon things happen.
verify: ## the suite with its long tests, full counts and broken builds: an hour and more; reports
	@scripts/bootstrap.sh --dev --broker --redis
	@$(PYTHON_IN_VENV) -m pytest -n 2 -m "" --report=docs/reports/verify-unit.json tests/unit tests/contract
	@exec $(PYTHON_IN_VENV) -m pytest -n 2 --dist loadfile -m "" --report=docs/reports/verify.json \
		tests/integration tests/e2e

bench: ## rates, latency, memory, start and crash on this machine, against their bars: half an hour
	@scripts/bootstrap.sh --dev --broker --redis
	@exec $(PYTHON_IN_VENV) -m bench

soak: ## a fleet under cuts and changes of symbols for MINUTES=60, what grows is told
	@scripts/bootstrap.sh --dev --broker --redis
	@exec $(PYTHON_IN_VENV) -m bench.soak --minutes $(or $(MINUTES),60)

clean: ## remove what the other targets made; not config.json, not keys
	@if [ -e .fleet/endpoints.json ] || kill -0 "$$(cat .fleet/supervisord.pid 2>/dev/null)" 2>/dev/null; then \
		echo "a fleet seems to run here: fleet down, or Ctrl-C" >&2; exit 1; fi
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
	@find .fleet logs -mindepth 1 -maxdepth 1 ! -name .gitkeep -exec rm -rf {} +
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
