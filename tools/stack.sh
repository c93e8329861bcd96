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

select_stack() {
    mkdir -p .state
    chmod 0700 .state
    if [ ! -f .state/passphrase ]; then
        (umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >.state/passphrase)
    fi
    pulumi stack select "$STACK" 2>/dev/null || pulumi stack init "$STACK" >/dev/null
}

# Pulumi writes a salt into a stack's file. It is in the state too, and a file under version control stays as it is.
keep_config() {
    if [ -f "$config" ] && ! grep -q '^encryptionsalt:' "$config"; then
        saved=$(mktemp)
        cp -p "$config" "$saved"
        trap 'cat "$saved" >"$config"; rm -f "$saved"' EXIT
    fi
}

keep_config
select_stack
case "$action" in
up)
    pulumi up --yes --skip-preview
    ;;
down)
    pulumi destroy --yes --skip-preview
    pulumi stack rm --yes --preserve-config "$STACK"
    # The base image's file stays in .state/$STACK/cache, for the next time; the engine need not keep a copy.
    for engine in podman docker; do
        command -v "$engine" >/dev/null || continue
        $engine image ls --quiet --filter reference='localhost/heat-scaleout-*' 2>/dev/null | sort -u | while read -r image; do
            $engine image rm "$image" >/dev/null 2>&1 || true # in use by another stack
        done
    done
    ;;
*)
    echo "usage: tools/stack.sh up|down STACK" >&2
    exit 2
    ;;
esac
