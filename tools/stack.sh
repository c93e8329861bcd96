#!/bin/sh
# Bring a stack up, take it down, see whether its hosts are as they were left, or put them right: what `make up`, `down`,
# `verify` and `repair` do.
#
#   tools/stack.sh up STACK      make the stack if it is not there, and `pulumi up`
#   tools/stack.sh down STACK    destroy it, and take away what it left on this machine
#   tools/stack.sh verify STACK  look at every file and every process; changes nothing
#   tools/stack.sh repair STACK  the same as: pulumi config set generation (the next number), pulumi up
#
# State and passphrase are in .state/, which git ignores.
set -eu
cd "$(dirname "$0")/.."
action=$1 STACK=$2
export STACK
# shellcheck source=env.sh
. ./env.sh

config=Pulumi.$STACK.yaml
sudo=
[ "$(id -u)" = 0 ] || sudo='sudo -n'

# Pulumi writes a salt into a stack's file. It is in the state too, and a file under version control stays as it is.
keep_config() {
    if [ -f "$config" ] && ! grep -q '^encryptionsalt:' "$config"; then
        saved=$(mktemp)
        cp -p "$config" "$saved"
        trap 'cat "$saved" >"$config"; rm -f "$saved"' EXIT
    fi
}

case "$action" in
verify) exec .venv/bin/python tools/verify.py "$STACK" ;;
# The generation is a setting like any other, and stays in the stack's file.
repair) ;;
*)
    keep_config
    tools/new-stack.sh "$STACK"
    [ "$(pulumi config get hosts 2>/dev/null)" != openstack ] || tools/toolchain.sh --openstack
    ;;
esac
[ "$(pulumi config get hosts 2>/dev/null)" != openstack ] || tools/toolchain.sh --openstack
case "$action" in
up)
    # A machine that was restarted has its containers still, but stopped.
    for engine in podman docker; do
        command -v "$engine" >/dev/null || continue
        $sudo "$engine" ps --all --quiet --filter status=exited --filter label=heat-scaleout="$PWD" \
            --filter "name=^heat-$STACK-" 2>/dev/null | while read -r container; do
            echo "starting a container that was stopped"
            $sudo "$engine" start "$container" >/dev/null
        done
    done
    pulumi up --yes --skip-preview
    ;;
down)
    pulumi destroy --yes --skip-preview
    pulumi stack rm --yes --preserve-config "$STACK"
    tools/remove-images.sh
    ;;
repair)
    generation=$(pulumi config get generation)
    pulumi config set generation $((generation + 1))
    pulumi up --yes --skip-preview
    ;;
*)
    echo "usage: tools/stack.sh up|down|verify|repair STACK" >&2
    exit 2
    ;;
esac
