#!/bin/sh
# Change and break a stack of its own under load: what `make e2e-faults` runs. Removes the leftovers of a killed run first,
# and its own stack at the end, even after a failure. KEEP=1 keeps the stack for the next run with KEEP=1.
#
#   SEED=…          determines the order of the faults and their targets; printed at the start
#   FAULTS=a,b      only these; the names are in tests/faults/faults.py
#   SHORT=1         shorter waits, and no minimum number of requests and stacks
#   REPORT=FILE     write all counts and every failed request, as JSON
set -eu
cd "$(dirname "$0")/../.."
STACK=e2e-faults
subnet=10.213.86.0/24
export STACK
# shellcheck source=env.sh
. ./env.sh
# shellcheck source=tests/e2e/own.inc.sh
. tests/e2e/own.inc.sh

sweep() {
    [ -z "${KEEP-}" ] || return 0
    sweep_stack "$STACK" "$subnet"
    tools/remove-images.sh
}

only_one "$STACK"
sweep
trap sweep EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
seed=${SEED:-$(date +%s)}
echo "SEED=$seed"
tools/new-stack.sh "$STACK" 9>&-
pulumi config set subnet "$subnet" 9>&-
# The upgrade needs an older release to start from.
case ",${FAULTS-}," in
,, | *,upgrade*) pulumi config set heatVersion 24.1.2 9>&- ;;
esac
pulumi up --yes --skip-preview 9>&- >"${TMPDIR:-/tmp}/heat-scaleout-$STACK.up" 2>&1 || {
    tail -n 40 "${TMPDIR:-/tmp}/heat-scaleout-$STACK.up" >&2
    exit 1
}
.venv/bin/python -m tests.faults --stack "$STACK" --seed "$seed" --faults "${FAULTS-}" ${SHORT:+--short} \
    ${REPORT:+--report "$REPORT"} "$@" 9>&-
