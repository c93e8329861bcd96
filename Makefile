# What people and CI type. `make` alone lists it.
SHELL := /bin/sh
STACK ?= dev
PY := .venv/bin/python
# For `make translate`: the release of Heat that is to read the file, and options (section.option …) that it may keep.
RELEASE ?= 27.0.1
ALLOW ?=

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

.PHONY: venv
venv: ## Python packages from requirements.txt, into .venv
	@tools/venv.sh

.PHONY: tools
tools: venv ## the Pulumi CLI and its command plugin, into .tools
	@tools/toolchain.sh

.PHONY: engine
engine: ## a container engine, from the distribution's packages if there is none
	@tools/container-engine.sh

.PHONY: up
up: tools engine ## everything: set up, then bring the stack up (STACK=dev; any other shows a preview and asks, or YES=its name)
	@tools/stack.sh up $(STACK)
	@echo "To go on:  . ./env.sh; pulumi stack output; pulumi config set engines 4; pulumi up"

.PHONY: down
down: tools ## take the stack and all that it made away (any other than dev asks, or YES=its name); with dev the test cloud too
	@tools/stack.sh down $(STACK)
	@[ "$(STACK)" != dev ] || tools/lab/down.sh

.PHONY: verify
verify: tools ## are the hosts as they were left? A table of what is not, and exit code 1; changes nothing (STACK=dev)
	@tools/stack.sh verify $(STACK)

.PHONY: repair
repair: tools ## put right what verify finds: the next generation of everything, one process at a time (STACK=dev)
	@tools/stack.sh repair $(STACK)

.PHONY: cloud
cloud: tools engine ## an OpenStack cloud in a container, for tests: kept between runs
	@tools/lab/up.sh

.PHONY: cloud-down
cloud-down: ## take that cloud away, with all that is in it
	@tools/lab/down.sh

.PHONY: hostkeys
hostkeys: tools ## the keys of existing hosts: fetched once, shown, and pinned when you say yes (STACK=dev)
	@tools/hostkeys.sh $(STACK)

.PHONY: test
test: tools ## the checks and the fast tests: no root, no hosts
	@# mypy takes one core, and the tests take what is left.
	@$(MAKE) --no-print-directory --jobs=2 check unit

.PHONY: unit
unit: tools
	@# Python keeps what it has compiled, whatever the environment says: without that each worker begins 3 s later.
	@PYTHONDONTWRITEBYTECODE= $(PY) -m pytest -q --numprocesses 3 --dist loadfile tests/unit

.PHONY: check
check: venv ## ruff, mypy, shellcheck
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@# Scripts with blanks to fill in are checked as they are rendered, by tests/unit/test_golden.py.
	@.venv/bin/shellcheck -x env.sh tools/*.sh tools/*/*.sh tools/offline/pulumi-build/*.sh tools/offline/command_provider/pulumi-resource-command \
		.ci/run tests/e2e/*.sh tests/e2e/*/*.sh tests/faults/run.sh tests/bench/*.sh tests/openstack/run.sh programs/hosts/heat-scaleout.sh

.PHONY: e2e
e2e: tools engine ## the real thing in containers, from nothing to nothing, under names of its own
	@tests/e2e/run.sh

.PHONY: e2e-faults
e2e-faults: tools engine ## change and break a stack under load, and count: SEED=, FAULTS=engines,broker, SHORT=1
	@tests/faults/run.sh

.PHONY: bench
bench: tools engine ## how fast stacks are made and deleted, by shape, engines and pace: CASES=, ENGINES=, SHORT=1 (tests/bench/run.sh)
	@tests/bench/run.sh

.PHONY: e2e-openstack
e2e-openstack: tools engine ## VMs of an OpenStack cloud, from nothing to nothing, in the cloud that `make cloud` starts
	@tests/openstack/run.sh

.PHONY: conformance
conformance: tools ## the stand-in for Pulumi's command plugin against the real one, where PULUMI_MIRROR has it
	@$(PY) -m pytest -q -rs tests/conformance

.PHONY: golden
golden: venv ## write the golden files anew, to be read in the diff
	@$(PY) -m pytest -q tests/unit/test_golden.py --update-golden

.PHONY: docs
docs: venv ## write what is generated from the settings: docs/settings.md, Pulumi.yaml's keys, README.md's table
	@$(PY) tools/docs.py

.PHONY: translate
translate: venv ## print what an existing CONF=heat.conf becomes, CONTROL= its host's address; DIFF=1: option by option
	@$(PY) tools/translate.py --control "$(CONTROL)" --release "$(RELEASE)" --allow "$(ALLOW)" $(if $(DIFF),--diff) -- $(CONF)

.PHONY: options
options: ## list anew which options each release of Heat knows: components/heat/options.txt
	@tools/heat-options.sh

.PHONY: lock
lock: venv ## pin every package anew: requirements.txt and the lists below locks/
	@tools/lock.sh
