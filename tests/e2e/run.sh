#!/bin/sh
# The end-to-end tests, on containers, bridge and subnet of their own: nothing of a dev stack is touched. Clears away
# what a killed run left, of whatever checkout, and takes its own away whatever happens.
set -eu
cd "$(dirname "$0")/../.."
STACK=e2e
subnet=10.213.78.0/24
export STACK
# shellcheck source=env.sh
. ./env.sh

# One run at a time on a machine: names and subnet are reserved for it.
# Containers must not inherit the lock: they would hold it after a run that was killed.
exec 9>"${TMPDIR:-/tmp}/heat-scaleout-e2e.lock"
flock -n 9 || { echo "waiting for another end-to-end run on this machine to end"; flock -w 3600 9; }

sudo=
[ "$(id -u)" = 0 ] || sudo='sudo -n'

# The second stack has hosts that a test makes and the program does not.
sweep() {
    sweep_stack "$STACK" "$subnet"
    sweep_stack "$STACK-existing" 10.213.79.0/24
    sweep_stack "$STACK-apt" 10.213.80.0/24
    tools/remove-images.sh
}

sweep_stack() {
    for engine in podman docker; do
        command -v "$engine" >/dev/null || continue
        $sudo "$engine" ps --all --quiet --filter "name=^heat-$1-" 2>/dev/null | while read -r container; do
            $sudo "$engine" kill "$container" >/dev/null 2>&1 || true
            $sudo "$engine" rm -f "$container" >/dev/null
        done
        $sudo "$engine" network rm "heat-$1" >/dev/null 2>&1 || true
    done
    $sudo ip route del blackhole "$2" metric 4294967295 2>/dev/null || true
    if [ -d .state/.pulumi ]; then
        pulumi cancel --yes --stack "$1" >/dev/null 2>&1 || true
        pulumi stack rm --yes --force "$1" >/dev/null 2>&1 || true
    fi
    rm -rf "Pulumi.$1.yaml" ".state/$1"
}

sweep
trap sweep EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
tools/new-stack.sh "$STACK" 9>&-
pulumi config set subnet "$subnet" 9>&-
.venv/bin/python -m pytest -p no:cacheprovider -v --tb=short tests/e2e "$@" 9>&-
