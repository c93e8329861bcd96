#!/bin/sh
# Bring a stack on this machine up, or take it down: what `make up` and `make down` do.
#
#   tools/stack.sh up STACK      make the stack if it is not there, and `pulumi up`
#   tools/stack.sh down STACK    destroy it, and take away what it left on this machine
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

keep_config
tools/new-stack.sh "$STACK"
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
*)
    echo "usage: tools/stack.sh up|down STACK" >&2
    exit 2
    ;;
esac
