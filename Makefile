# What operators, developers and CI type. `make` alone lists it.
SHELL := /bin/sh
STACK ?= dev
PY := .venv/bin/python
# Python keeps its compiled files here, whatever the environment says: otherwise each test worker starts 3 s later.
PYTEST := PYTHONDONTWRITEBYTECODE= $(PY) -m pytest -q
# For `make translate`: the target release of Heat, and the options (section.option …) to keep although it does not know them.
RELEASE ?= 27.0.1
ALLOW ?=

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-z0-9-]+:.*## / { printf "  %-18s%s\n", $$1, $$2 }' \
		$(MAKEFILE_LIST)

##@ Operators (STACK=dev unless you name another)

.PHONY: up
up: tools container-engine ## set everything up and run `pulumi up`; a stack other than dev shows a preview and asks (or YES=its name)
	@tools/stack.sh up $(STACK)
	@echo "Next:  export STACK=$(STACK); . ./env.sh; pulumi stack output; pulumi config set engines 4; pulumi up"

.PHONY: down
down: tools ## destroy the stack; one other than dev asks first (or YES=its name); with dev, the test cloud too
	@tools/stack.sh down $(STACK)
	@[ "$(STACK)" != dev ] || tools/lab/down.sh

.PHONY: verify
verify: tools ## compare every host with the last `pulumi up`: fails if they differ, with a table; changes nothing
	@tools/stack.sh verify $(STACK)

.PHONY: repair
repair: tools ## re-apply every file and process, in batches of rollingBatch, and so repair what verify finds
	@tools/stack.sh repair $(STACK)

.PHONY: hostkeys
hostkeys: tools ## fetch the SSH host keys of existing hosts, show their fingerprints, and pin them after you confirm
	@tools/hostkeys.sh $(STACK)

.PHONY: translate
translate: venv ## print CONF (an existing heat.conf) as this program would write it. CONTROL: address of its host. RELEASE, ALLOW; DIFF=1: only the changes, by option
	@$(PY) tools/translate.py --control "$(CONTROL)" --release "$(RELEASE)" --allow "$(ALLOW)" $(if $(DIFF),--diff) -- $(CONF)

.PHONY: tools
tools: venv ## install the Pulumi CLI and its plugins into .tools
	@tools/toolchain.sh

.PHONY: container-engine
container-engine: ## install a container engine from the distribution's packages, if there is none
	@tools/container-engine.sh

##@ Developers

.PHONY: venv
venv: ## install requirements.txt into .venv
	@tools/venv.sh

.PHONY: test
test: venv ## checks and unit tests, without root, hosts or the Pulumi CLI; T=file or T=file::test runs only that
ifdef T
	@$(PYTEST) $(T)
else
	@# mypy uses one core for a while, and the tests use the rest.
	@$(MAKE) --no-print-directory --jobs=2 check unit
endif

.PHONY: unit
unit: venv ## the unit tests alone
	@# Each further worker would load everything again, and repeat runs of the program that another worker has cached.
	@$(PYTEST) --numprocesses 2 --dist loadfile tests/unit

.PHONY: check
check: venv ## ruff, mypy, shellcheck
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@# Templates of scripts are checked as they are rendered, by tests/unit/test_golden.py.
	@.venv/bin/shellcheck -x env.sh tools/*.sh tools/*/*.sh tools/offline/pulumi-build/*.sh tools/offline/command_provider/pulumi-resource-command \
		.ci/run tests/e2e/*.sh tests/e2e/*/*.sh tests/faults/run.sh tests/bench/*.sh tests/openstack/run.sh programs/hosts/heat-scaleout.sh

.PHONY: golden
golden: venv ## write the golden files again; read their diff before you commit
	@$(PYTEST) tests/unit/test_golden.py --update-golden

.PHONY: docs
docs: venv ## write what is generated from the settings: docs/settings.md, Pulumi.yaml's keys, README.md's table
	@$(PY) tools/docs.py

.PHONY: options
options: ## list again which options each release of Heat knows: components/heat/options.txt
	@tools/heat-options.sh

.PHONY: lock
lock: venv ## pin packages in requirements.txt and locks/; pinned versions stay, unless their list is empty
	@tools/lock.sh

.PHONY: bench
bench: tools container-engine ## measure how fast stacks are created and deleted: CASES=, ENGINES=, SHORT=1 (tests/bench/run.sh)
	@tests/bench/run.sh

.PHONY: cloud
cloud: tools container-engine ## start an OpenStack cloud in a container, for the tests; it is kept between runs
	@tools/lab/up.sh

.PHONY: cloud-down
cloud-down: ## remove that cloud and everything in it
	@tools/lab/down.sh

##@ CI (.ci/run: test, conformance, e2e)

.PHONY: conformance
conformance: tools ## compare the stand-in for Pulumi's command plugin with the real plugin, if PULUMI_MIRROR has it
	@$(PY) -m pytest -q -rs tests/conformance

.PHONY: e2e
e2e: tools container-engine ## end-to-end tests in containers of their own, from nothing to nothing
	@tests/e2e/run.sh

##@ Longer tests, run by hand

.PHONY: e2e-faults
e2e-faults: tools container-engine ## change and break a stack under load, and count errors: SEED=, FAULTS=engines,broker, SHORT=1
	@tests/faults/run.sh

.PHONY: e2e-openstack
e2e-openstack: tools container-engine ## end-to-end tests on VMs, in the cloud that `make cloud` starts
	@tests/openstack/run.sh
