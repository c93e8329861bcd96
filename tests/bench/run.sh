#!/bin/sh
# Measure how fast Heat creates and deletes stacks: what `make bench` runs, on a stack of its own. Removes the leftovers of a
# killed run first, and its own stack at the end, even after a failure. KEEP=1 keeps the stack for the next run with KEEP=1.
# Tables go to stdout, progress to stderr. The exit code is 1 if a case failed.
#
#   CASES="…"       shapes, with commas: wide N, group N, fan N, chain N, nested A x B, many A x B, beside N, slow N;
#                   show N and list N: N clients that ask for a stack, or for the list of stacks;
#                   "" for none. The defaults are in tests/bench/cases.py
#   SCALING="…"     the cases for each number of engines
#   ENGINES=1,2,4,8 the numbers of engines; "" for none
#   SHARE=15        percent of one core for each of these engines, 1 to 100
#   PACES=8,0       values of checksPerStack; 0 is Heat's own pace
#   RELEASES=…      releases of Heat, with commas; the older ones run first
#   SET="…"         further settings, separated by blanks: SET="engineWorkers=2 options.all.DEFAULT.debug=true"
#                   With KEEP=1 they stay for the next run
#   PAUSE=300       seconds: skip a case that takes longer at Heat's own pace, by its size
#   LIMIT=420       seconds: the limit for one creation or deletion
#   SHORT=1         small stacks, one release, one pace, one and two engines: checks the benchmark itself
#   REPORT=FILE     write the results as JSON, after each case; default: .state/bench.json
#   PLOT=DIR        write plots as SVG; to draw the same REPORT again: tests/bench/plot.sh REPORT DIR
set -eu
cd "$(dirname "$0")/../.."
STACK=e2e-bench
subnet=10.213.94.0/24
export STACK
# shellcheck source=env.sh
. ./env.sh
# shellcheck source=tests/e2e/own.inc.sh
. tests/e2e/own.inc.sh

.venv/bin/python -m tests.bench --stack "$STACK" --check

sweep() {
    # Always remove the cgroups on this machine: processes left in them would stay slow.
    .venv/bin/python -m tests.bench.share || true
    [ -z "${KEEP-}" ] || return 0
    sweep_stack "$STACK" "$subnet"
    tools/remove-images.sh
}

only_one "$STACK"
trap sweep EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
sweep
[ -z "${PLOT-}" ] || tests/bench/plot.sh --prepare
tools/new-stack.sh "$STACK" 9>&- >&2
pulumi config set subnet "$subnet" 9>&-
REPORT=${REPORT:-.state/bench.json}
export REPORT
code=0
.venv/bin/python -m tests.bench --stack "$STACK" "$@" 9>&- || code=$?
if [ -n "${PLOT-}" ]; then
    tests/bench/plot.sh "$REPORT" "$PLOT" || code=$?
fi
exit "$code"
