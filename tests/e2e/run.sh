#!/bin/sh
# The end-to-end tests: what `make e2e` runs, with containers, a bridge and a subnet of their own, apart from any dev stack.
# Removes the leftovers of a killed run of any checkout first, and its own stacks at the end, even after a failure.
set -eu
cd "$(dirname "$0")/../.."
STACK=e2e
subnet=10.213.78.0/24
export STACK
# shellcheck source=env.sh
. ./env.sh
# shellcheck source=tests/e2e/own.inc.sh
. tests/e2e/own.inc.sh

# The other stacks have hosts that a test creates.
sweep() {
    sweep_stack "$STACK" "$subnet"
    sweep_stack "$STACK-existing" 10.213.79.0/24
    sweep_stack "$STACK-adopt" 10.213.90.0/24
    sweep_stack "$STACK-apt" 10.213.80.0/24
    sweep_stack "$STACK-install" 10.213.83.0/24
    tools/remove-images.sh
}

only_one "$STACK"
sweep
trap sweep EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
tools/new-stack.sh "$STACK" 9>&-
pulumi config set subnet "$subnet" 9>&-
.venv/bin/python -m pytest -p no:cacheprovider -v --tb=short tests/e2e "$@" 9>&-
