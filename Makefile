# What a newcomer and a developer run. Python 3.11 or newer and make are enough: all else goes into .venv.
#
#   PYTHON=python3.12   the Python to make .venv with, instead of the newest that is found
#   ARGS=...            further arguments, for the demo or for pytest

MAKEFLAGS += --no-print-directory
PYTHON_HERE = .venv/bin/python
RUNTIME = @.ci/venv requirements.lock
DEVELOPMENT = @.ci/venv requirements-dev.lock
SUPPLY = @.ci/venv requirements-supply.lock .venv-supply

.PHONY: help demo unit test check e2e endure bench profile bench-admission bench-refresh bench-report bench-image golden audit sbom lock clean

help: ## say what there is
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1#\2/p' Makefile | expand -t 2 | awk -F'#' '{printf "%-22s %s\n", $$1, $$2}'

demo: ## start the real server, send it real manifests, and look
	$(RUNTIME)
	@$(PYTHON_HERE) -m webhook demo $(ARGS)

unit: ## test what needs no process and no socket: 10 to 20 seconds
	$(DEVELOPMENT)
	@.ci/pytest unit $(ARGS)

test: ## test the checkout, then the built wheel
	$(DEVELOPMENT)
	@.ci/pytest checkout $(ARGS)
	@.ci/pytest wheel $(ARGS)

check: ## ruff, mypy and import-linter
	$(DEVELOPMENT)
	@$(PYTHON_HERE) -m ruff check
	@$(PYTHON_HERE) -m ruff format --check
	@$(PYTHON_HERE) -m mypy
	@$(PYTHON_HERE) .venv/bin/lint-imports --no-logo

e2e: ## test against the cluster that KUBECONFIG names
	$(DEVELOPMENT)
	@.ci/pytest cluster $(ARGS)
	@.ci/pytest installed $(ARGS)

endure: ## stall, flood, break and stop the real server: ARGS=--form=short|usual|long
	$(DEVELOPMENT)
	@.ci/pytest endure $(ARGS)

bench: ## measure the server beside a Go webhook (needs Go and a C compiler)
	@.ci/venv requirements-fast.lock .venv-fast
	@PYTHONPATH=. .venv-fast/bin/python tests/bench/serving.py $(ARGS)

bench-admission: ## measure the webhook, or with ARGS=--engine=policy the policy, on the cluster that KUBECONFIG names (needs a C compiler)
	@.ci/venv requirements-fast.lock .venv-fast
	@PYTHONPATH=. .venv-fast/bin/python tests/bench/admission.py $(ARGS)

profile: ## show where a request's time goes
	@.ci/venv requirements-fast.lock .venv-fast
	@PYTHONPATH=. .venv-fast/bin/python tests/bench/profiling.py $(ARGS)

bench-refresh: ## measure the sidecar on the cluster that KUBECONFIG names
	$(DEVELOPMENT)
	@PYTHONPATH=. $(PYTHON_HERE) tests/bench/refresh.py $(ARGS)

bench-report: ## measure the report on 10,000 Pods, on the cluster that KUBECONFIG names
	$(DEVELOPMENT)
	@PYTHONPATH=. $(PYTHON_HERE) tests/bench/report.py $(ARGS)

bench-image: ## weigh and start what ARGS names, an image or an environment: ARGS=IMAGE
	$(DEVELOPMENT)
	@PYTHONPATH=. $(PYTHON_HERE) tests/bench/image.py $(ARGS)

golden: ## write what the commands print to tests/integration/cli/golden
	$(DEVELOPMENT)
	@UPDATE_GOLDEN=1 .ci/pytest checkout tests/integration/cli/test_golden.py $(ARGS)

audit: ## look for known vulnerabilities in all that is locked
	$(SUPPLY)
	@.venv-supply/bin/python .ci/audit.py $(ARGS)

sbom: ## write what the image holds to dist, as CycloneDX
	$(SUPPLY)
	@.venv-supply/bin/python .ci/sbom.py dist

lock: ## choose the dependencies' versions anew (needs uv)
	@.ci/lock

clean: ## remove all that make made
	@rm -rf .venv .venv-fast .venv-supply .prometheus dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find webhook tests -name __pycache__ -prune -exec rm -rf {} +
