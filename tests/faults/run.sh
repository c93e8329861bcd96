#!/bin/sh
# Change and break a stack of its own under load: what `make e2e-faults` does. Clears away what a killed run left, and
# takes its own away whatever happens, except with KEEP=1; then the next run with KEEP=1 goes on with the same stack.
#
#   SEED=…          the order of the faults, and whom each of them hits; told at the start
#   FAULTS=a,b      only these; names are in tests/faults/faults.py
#   SHORT=1         shorter waits, and no least number of requests and stacks
#   REPORT=FILE     all that was counted, and every failed request, as JSON
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
# Where the upgrade is among the faults there has to be something to upgrade from.
case ",${FAULTS-}," in
,, | *,upgrade*) pulumi config set heatVersion 24.1.2 9>&- ;;
esac
pulumi up --yes --skip-preview 9>&- >"${TMPDIR:-/tmp}/heat-scaleout-$STACK.up" 2>&1 || {
    tail -n 40 "${TMPDIR:-/tmp}/heat-scaleout-$STACK.up" >&2
    exit 1
}
.venv/bin/python -m tests.faults --stack "$STACK" --seed "$seed" --faults "${FAULTS-}" ${SHORT:+--short} \
    ${REPORT:+--report "$REPORT"} "$@" 9>&-
