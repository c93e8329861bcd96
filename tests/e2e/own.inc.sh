# shellcheck shell=sh
# For test runs with stacks of their own: one run at a time, and no leftovers. Sourced by each run.sh.
sudo=
[ "$(id -u)" = 0 ] || sudo='sudo -n'

# only_one NAME: allow one run of this name at a time on a machine, because its stacks' names and subnets are fixed.
# Containers must not inherit the lock, file descriptor 9: they would hold it after a killed run.
only_one() {
    exec 9>"${TMPDIR:-/tmp}/heat-scaleout-$1.lock"
    flock -n 9 || { echo "waiting for another run of $1 on this machine to end"; flock -w 7200 9; }
}

# sweep_stack STACK SUBNET: remove a stack of any checkout, even if Pulumi does not know it.
sweep_stack() {
    for engine in podman docker; do
        command -v "$engine" >/dev/null || continue
        $sudo "$engine" ps --all --quiet --filter "name=^heat-$1-(front|node-[0-9]+)\$" 2>/dev/null | while read -r container; do
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
