# Commands for contributors. They need Python 3.11 or newer; everything else is installed in .venv.
#
#   PYTHON=python3.12   the Python for .venv; default: the newest installed
#   ARGS=...            additional arguments, for example for the demo or pytest

MAKEFLAGS += --no-print-directory
PYTHON_HERE = .venv/bin/python
RUNTIME = @.ci/venv requirements.lock
DEVELOPMENT = @.ci/venv requirements-dev.lock
BENCH = @.ci/venv requirements.lock .venv-bench
SUPPLY = @.ci/venv requirements-supply.lock .venv-supply

.PHONY: help demo unit test check format e2e endure bench profile bench-admission bench-refresh bench-report bench-image bench-start golden docs-output reference chart docs audit wheels sbom app install-manifest lock clean

help: ## list the targets
	@awk -F':.*## ' '/^## /{printf "\n%s:\n", substr($$0, 4)} /^[a-z0-9-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' Makefile

## Try it
demo: ## start the server, send it manifests and show the results
	$(RUNTIME)
	@$(PYTHON_HERE) -m webhook demo $(ARGS)

## Test and check
unit: ## run the unit tests, without processes and sockets, or the tests in ARGS
	$(DEVELOPMENT)
	@.ci/pytest unit $(ARGS)

test: ## test the checkout, then the built wheel
	$(DEVELOPMENT)
	@.ci/pytest checkout $(ARGS)
	@.ci/pytest wheel $(ARGS)

check: ## run ruff, mypy and import-linter, and check the wording
	$(DEVELOPMENT)
	@$(PYTHON_HERE) -m ruff check
	@$(PYTHON_HERE) -m ruff format --check
	@$(PYTHON_HERE) -m mypy
	@$(PYTHON_HERE) .venv/bin/lint-imports --no-logo
	@$(PYTHON_HERE) .ci/words.py

format: ## format the code and fix what ruff can fix
	$(DEVELOPMENT)
	@$(PYTHON_HERE) -m ruff check --fix
	@$(PYTHON_HERE) -m ruff format

e2e: ## test against the cluster that KUBECONFIG names
	$(DEVELOPMENT)
	@.ci/pytest cluster $(ARGS)
	@.ci/pytest installed $(ARGS)

endure: ## stall, flood, break and stop the server: ARGS=--form=short|usual|long
	$(DEVELOPMENT)
	@.ci/pytest endure $(ARGS)

## Measure
bench: ## compare the server with a Go webhook (needs Go)
	$(BENCH)
	@PYTHONPATH=. .venv-bench/bin/python tests/bench/serving.py $(ARGS)

bench-admission: ## measure admission on KUBECONFIG's cluster: ARGS=--engine=policy
	$(BENCH)
	@PYTHONPATH=. .venv-bench/bin/python tests/bench/admission.py $(ARGS)

profile: ## profile a request
	$(BENCH)
	@PYTHONPATH=. .venv-bench/bin/python tests/bench/profiling.py $(ARGS)

bench-refresh: ## measure the refresher on the cluster that KUBECONFIG names
	$(DEVELOPMENT)
	@PYTHONPATH=. $(PYTHON_HERE) tests/bench/refresh.py $(ARGS)

bench-report: ## measure the report on 10,000 Pods, on the cluster that KUBECONFIG names
	$(DEVELOPMENT)
	@PYTHONPATH=. $(PYTHON_HERE) tests/bench/report.py $(ARGS)

bench-image: ## measure size and start time of an image or environment: ARGS=IMAGE
	$(DEVELOPMENT)
	@PYTHONPATH=. $(PYTHON_HERE) tests/bench/image.py $(ARGS)

bench-start: ## measure how fast commands start, as ratios to an empty Python
	$(RUNTIME)
	@$(PYTHON_HERE) tests/bench/start.py $(ARGS)

## Generate files
golden: ## write what the commands print to tests/integration/cli/golden
	$(DEVELOPMENT)
	@UPDATE_GOLDEN=1 .ci/pytest checkout tests/integration/cli/test_golden.py $(ARGS)

docs-output: ## write what offline commands print into README.md and docs/
	$(DEVELOPMENT)
	@UPDATE_GOLDEN=1 .ci/pytest checkout tests/integration/test_docs.py $(ARGS)

reference: ## write the generated pages of docs/reference, and parts of the Helm chart
	$(DEVELOPMENT)
	@$(PYTHON_HERE) -m tests.support.reference_pages
	@$(PYTHON_HERE) -m tests.support.chart_files

chart: ## write the parts of the Helm chart that are made from other files
	$(DEVELOPMENT)
	@$(PYTHON_HERE) -m tests.support.chart_files

docs: ## build the documentation site into site/; broken links fail
	@.ci/venv requirements-docs.lock .venv-docs
	@echo "Building the site into site/"
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs build --quiet $(ARGS)

## Release and maintain
audit: ## check all locked dependencies for known vulnerabilities
	$(SUPPLY)
	@.venv-supply/bin/python .ci/audit.py $(ARGS)

wheels: ## check that each architecture and Python has a locked wheel of every package
	$(SUPPLY)
	@.venv-supply/bin/python .ci/wheels.py check $(ARGS)

sbom: ## write the image's bill of materials to dist (CycloneDX)
	$(SUPPLY)
	@.venv-supply/bin/python .ci/sbom.py dist

app: ## build the command as single files, with checksums, krew manifest and Homebrew formula, in dist
	$(RUNTIME)
	@$(PYTHON_HERE) .ci/app.py dist $(ARGS)

install-manifest: ## write dist/install.yaml and dist/images.txt: ARGS=NAME:TAG@sha256:DIGEST
	$(DEVELOPMENT)
	@PYTHONPATH=. $(PYTHON_HERE) .ci/install_manifest.py dist $(ARGS)

lock: ## update the dependencies' versions (needs uv)
	@.ci/lock

clean: ## remove all generated files
	@rm -rf .venv .venv-bench .venv-docs .venv-oldest .venv-supply .prometheus dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find webhook tests -name __pycache__ -prune -exec rm -rf {} +
