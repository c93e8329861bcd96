#!/bin/sh
# Measure how fast a stack of its own makes and deletes Heat stacks: what `make bench` does. Clears away what a killed run
# left, and takes its own away whatever happens, except with KEEP=1; then the next run with KEEP=1 goes on with the same
# stack. Tables go to stdout, progress to stderr. The exit code is 1 where a case failed.
#
#   CASES="…"       shapes, with commas: wide N, group N, fan N, chain N, nested A x B, many A x B, beside N, slow N;
#                   "" for none. tests/bench/cases.py says what is measured by default
#   SCALING="…"     the cases that are measured for each number of engines
#   ENGINES=1,2,4,8 these numbers; "" for none
#   SHARE=15        percent of one core that each of these engines has, 1 to 100
#   PACES=8,0       values of checksPerStack; 0 is Heat's own pace
#   RELEASES=…      of Heat, with commas; the older ones come first
#   SET="…"         further settings, with blanks between them: SET="engineWorkers=2 options.all.DEFAULT.debug=true"
#                   With KEEP=1 they stay for the next run
#   PAUSE=300       seconds: a case that takes longer at Heat's own pace, by its size, is not tried under it
#   LIMIT=420       seconds that one creation or deletion may take
#   SHORT=1         small stacks, one release, one pace, one and two engines: does the benchmark itself work?
#   REPORT=FILE     all that was measured, as JSON, written anew after each case; .state/bench.json where it is not said
#   PLOT=DIR        plots, as SVG; once more of the same REPORT: tests/bench/plot.sh REPORT DIR
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
    # Cgroups of this machine's go in any case: what is left in them would stay slow.
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
