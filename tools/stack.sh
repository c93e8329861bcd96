#!/bin/sh
# Bring a stack up, take it down, see whether its hosts are as they were left, or put them right: what `make up`, `down`,
# `verify` and `repair` do.
#
#   tools/stack.sh up STACK      make the stack if it is not there, and `pulumi up`
#   tools/stack.sh down STACK    destroy it, and take away what it left on this machine
#   tools/stack.sh verify STACK  look at every file and every process; changes nothing
#   tools/stack.sh repair STACK  the same as: pulumi config set generation (the next number), pulumi up
#
# The dev stack in containers is brought up and taken down without a question. With any other stack you see a preview
# first and say yes, and to take it down you type its name; YES=STACK says so where there is no terminal.
#
# State and passphrase are in .state/, which git ignores, or where you keep them: docs/state.md.
set -eu
cd "$(dirname "$0")/.."
action=$1 STACK=$2
export STACK
# shellcheck source=env.sh
. ./env.sh

config=Pulumi.${STACK##*/}.yaml
sudo=
[ "$(id -u)" = 0 ] || sudo='sudo -n'

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

# setting NAME: its value, or what Pulumi.yaml has; nothing where there is no such stack yet.
setting() { pulumi config get "$1" 2>/dev/null || true; }

# Whether nobody has to be asked: the dev stack, as long as its hosts are containers.
quick() { [ "$STACK" = dev ] && ! grep -q "^ *heat-scaleout:hosts: *[\"']\{0,1\}\(existing\|openstack\)" "$config" 2>/dev/null; }

# agreed: whether YES names this stack. YES without the right name is a mistake, and ends it.
agreed() {
    [ -n "${YES-}" ] || return 1
    [ "$YES" = "$STACK" ] || fail "YES=$YES does not name the stack $STACK. Type: make $action STACK=$STACK YES=$STACK"
}

# with_config COMMAND …: run Pulumi, which writes a salt into the stack's file. The salt is in the state too, and the file
# stays as it is: Pulumi gets a copy of it, except where the file has a salt, or the key of another provider, already.
with_config() {
    if grep -q '^\(encryptionsalt\|secretsprovider\|encryptedkey\):' "$config" 2>/dev/null; then
        "$@"
        return
    fi
    copy=$(mktemp -d)
    trap 'rm -rf "$copy"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    if [ -f "$config" ]; then cp "$config" "$copy/$config"; else echo 'config: {}' >"$copy/$config"; fi
    "$@" --config-file "$copy/$config"
}

update() {
    if quick; then
        with_config pulumi up --yes --skip-preview
    elif agreed; then
        with_config pulumi up --yes
    else
        with_config pulumi up
    fi
}

# may_ask: end here, before anything is done, where somebody has to be asked and nobody is here.
may_ask() {
    if ! quick && ! agreed && [ ! -t 0 ]; then
        fail "make $action STACK=$STACK asks before it does anything, and there is no terminal to ask in." \
            "To have it done without being asked: make $action STACK=$STACK YES=$STACK"
    fi
}

lost() { # what `destroy` takes away, for people
    adopted=$(setting adopt) hosts=$(setting hosts) control=$(setting controlPlane)
    case "$hosts" in
    existing) echo "The hosts of stack $STACK stay, and Heat's processes on them go." ;;
    openstack) echo "The VMs of stack $STACK go, with all that is on their disks, and their network." ;;
    *) echo "The containers of stack $STACK go, with all that is in them." ;;
    esac
    if [ "$adopted" = true ]; then
        echo "The Heat that was adopted gets its addresses back."
    elif [ "$control" != existing ]; then
        echo "What is lost: the database, with the record of every stack that Heat has made; Keystone's users and projects;"
        echo "the keys and passwords that these can be read with. Resources that Heat has made elsewhere stay, without a record."
    else
        echo "Database, broker and Keystone stay. What is lost: the passwords that were made for this stack, and the key that"
        echo "Heat has encrypted its database with, unless you set authEncryptionKey yourself."
    fi
}

confirm_down() {
    kept=$(pulumi stack export | .venv/bin/python -c '
import json, sys
for resource in json.load(sys.stdin)["deployment"].get("resources", []):
    if resource.get("protect"):
        print("  " + resource["urn"].rpartition("::")[2])')
    if [ -n "$kept" ]; then
        lost >&2
        fail "Stack $STACK is protected, and nothing was done. Protected are:" "$kept" \
            "If all of it is to go, type: pulumi config set protect false --stack $STACK && make up STACK=$STACK" \
            "and then this again."
    fi
    if quick || agreed; then return; fi
    lost >&2
    printf 'To take it down, type the name of the stack: ' >&2
    read -r answer
    [ "$answer" = "$STACK" ] || fail "nothing was done"
}

# made_here KIND ENGINE: containers or networks of this stack, by this checkout.
made_here() {
    case "$1" in
    container) $sudo "$2" ps --all --quiet --filter label=heat-scaleout="$PWD" --filter "name=^heat-$STACK-" ;;
    network) $sudo "$2" network ls --quiet --filter label=heat-scaleout="$PWD" --filter "name=^heat-$STACK\$" ;;
    esac 2>/dev/null
}

# After a lost state nobody knows the containers any more but the engine that runs them.
remove_leftovers() {
    found=
    for engine in podman docker; do
        command -v "$engine" >/dev/null || continue
        [ -z "$(made_here container "$engine")$(made_here network "$engine")" ] || found="$found $engine"
    done
    if [ -z "$found" ]; then
        echo "This checkout has no containers of it either." >&2
        quick || exit 1
        return
    fi
    if ! quick && ! agreed; then
        echo "Containers of it are left, with all that is in them; its state, which has their keys, is not there." >&2
        printf 'To remove them, type the name of the stack: ' >&2
        read -r answer
        [ "$answer" = "$STACK" ] || fail "nothing was done"
    fi
    for engine in $found; do
        made_here container "$engine" | while read -r container; do
            $sudo "$engine" kill "$container" >/dev/null 2>&1 || true
            $sudo "$engine" rm -f "$container" >/dev/null
        done
        made_here network "$engine" | while read -r network; do
            # Its route that leads nowhere: templates/hosts/containers/network.sh.j2.
            $sudo "$engine" network inspect "$network" | sed -n 's/.*"[Ss]ubnet": *"\([0-9./]*\)".*/\1/p' |
                while read -r subnet; do $sudo ip route del blackhole "$subnet" metric 4294967295 2>/dev/null || true; done
            $sudo "$engine" network rm "$network" >/dev/null
        done
    done
    tools/remove-images.sh
    echo "The containers of stack $STACK were removed." >&2
}

case "$action" in
verify) exec .venv/bin/python tools/verify.py "$STACK" ;;
up | repair | down) may_ask ;;
*)
    echo "usage: tools/stack.sh up|down|verify|repair STACK" >&2
    exit 2
    ;;
esac
if [ "$action" = up ]; then
    tools/new-stack.sh "$STACK"
elif ! pulumi stack select "$STACK" 2>/dev/null; then
    echo "There is no stack $STACK where the state is: ${PULUMI_BACKEND_URL:-$HEAT_SCALEOUT_LOGIN}" >&2
    [ "$action" = down ] || exit 1
    remove_leftovers
    exit
fi
[ "$(setting hosts)" != openstack ] || tools/toolchain.sh --openstack
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
    update
    ;;
down)
    confirm_down
    with_config pulumi destroy --yes --skip-preview
    pulumi stack rm --yes --preserve-config "$STACK"
    tools/remove-images.sh
    ;;
repair)
    # The generation is a setting like any other, and stays in the stack's file.
    pulumi config set generation $(($(setting generation) + 1))
    update
    ;;
esac
