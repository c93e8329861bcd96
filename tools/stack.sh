#!/bin/sh
# What `make up`, `make down`, `make verify` and `make repair` run.
#
#   tools/stack.sh up STACK      create the stack if it does not exist, and run `pulumi up`
#   tools/stack.sh down STACK    destroy it, and remove what it left on this machine
#   tools/stack.sh verify STACK  compare every file and every process with the state; changes nothing
#   tools/stack.sh repair STACK  the same as: pulumi config set generation (the next number), pulumi up
#
# The dev stack in containers needs no confirmation. For any other stack, `up` and `repair` show a preview and ask, and
# `down` asks for the stack's name; YES=STACK confirms without a terminal.
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

# setting NAME: its value, or the default in Pulumi.yaml; empty if the stack does not exist yet.
setting() { pulumi config get "$1" 2>/dev/null || true; }

# Whether no confirmation is needed: for the dev stack, as long as its hosts are containers, which is the default.
quick() {
    [ "$STACK" = dev ] && ! grep "^[^#]*heat-scaleout:hosts[\"']*:" "$config" 2>/dev/null |
        grep -qv ": *[\"']\{0,1\}containers[\"']\{0,1\} *\(#.*\)\{0,1\}$"
}

# host_traits: which of these are true of the stack's kind of host.
host_traits() {
    .venv/bin/python -c '
import sys
from components.hosts.kinds import DEFAULT, KINDS
kind = KINDS.get(sys.argv[1] or DEFAULT)
print(*[trait for trait in ("made", "cloud") if getattr(kind, trait)] if kind else ["unknown"])' "$(setting hosts)"
}

# agreed: whether YES names this stack. Another name is a mistake and ends the script.
agreed() {
    [ -n "${YES-}" ] || return 1
    [ "$YES" = "$STACK" ] || fail "YES=$YES does not name the stack $STACK. Type: make $action STACK=$STACK YES=$STACK"
}

# with_config COMMAND …: run Pulumi without changing the stack's file. Pulumi writes a salt into that file, although the
# state has it too, so it gets a copy; the file itself only if it already has a salt or the key of another provider.
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

# may_ask: end the script, before it changes anything, if it would have to ask and there is no terminal.
may_ask() {
    if ! quick && ! agreed && [ ! -t 0 ]; then
        fail "make $action STACK=$STACK asks for confirmation, and there is no terminal. Nothing was changed." \
            "To confirm without a terminal, type: make $action STACK=$STACK YES=$STACK"
    fi
}

lost() { # tell the operator what `destroy` removes
    adopted=$(setting adopt) control=$(setting controlPlane) traits=$(host_traits)
    case "$traits" in
    "made cloud") echo "The VMs of stack $STACK are deleted, with their disks and their network." ;;
    "") echo "The hosts of stack $STACK stay. Heat's processes on them are removed." ;;
    *) echo "The hosts of stack $STACK are deleted, with all their data." ;;
    esac
    if [ "$adopted" = true ]; then
        echo "The adopted Heat gets its addresses back."
    elif [ "$control" != existing ]; then
        echo "You lose the database, with the record of every stack that Heat has created; Keystone's users and projects;"
        echo "and the keys and passwords that decrypt them. Resources that Heat has created elsewhere stay, without a record."
    else
        echo "Database, broker and Keystone stay. You lose the passwords generated for this stack, and the key that encrypts"
        echo "Heat's data in the database, unless you set authEncryptionKey yourself."
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
        fail "Stack $STACK is protected. Nothing was changed. These resources are protected:" "$kept" \
            "To remove the protection, type: pulumi config set protect false --stack $STACK && make up STACK=$STACK" \
            "Then type again: make down STACK=$STACK"
    fi
    if quick || agreed; then return; fi
    lost >&2
    printf 'To destroy it, type the name of the stack: ' >&2
    read -r answer
    [ "$answer" = "$STACK" ] || fail "Nothing was changed."
}

# made_here KIND ENGINE: the containers or networks that this checkout created for this stack.
made_here() {
    case "$1" in
    container) $sudo "$2" ps --all --quiet --filter label=heat-scaleout="$PWD" --filter "name=^heat-$STACK-" ;;
    network) $sudo "$2" network ls --quiet --filter label=heat-scaleout="$PWD" --filter "name=^heat-$STACK\$" ;;
    esac 2>/dev/null
}

# If the state is lost, only the container engine still knows the containers.
remove_leftovers() {
    found=
    for engine in podman docker; do
        command -v "$engine" >/dev/null || continue
        [ -z "$(made_here container "$engine")$(made_here network "$engine")" ] || found="$found $engine"
    done
    if [ -z "$found" ]; then
        echo "This checkout has no containers of that stack either." >&2
        quick || exit 1
        return
    fi
    if ! quick && ! agreed; then
        echo "The containers of stack $STACK still exist, with all their data. The state, which has their keys, is missing." >&2
        printf 'To remove them, type the name of the stack: ' >&2
        read -r answer
        [ "$answer" = "$STACK" ] || fail "Nothing was changed."
    fi
    for engine in $found; do
        made_here container "$engine" | while read -r container; do
            $sudo "$engine" kill "$container" >/dev/null 2>&1 || true
            $sudo "$engine" rm -f "$container" >/dev/null
        done
        made_here network "$engine" | while read -r network; do
            # Its blackhole route: templates/hosts/containers/network.sh.j2.
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
    echo "There is no stack $STACK in ${PULUMI_BACKEND_URL:-$HEAT_SCALEOUT_LOGIN}" >&2
    [ "$action" = down ] || exit 1
    remove_leftovers
    exit
fi
# No other stack needs the OpenStack plugin.
case "$(host_traits)" in *cloud*) tools/toolchain.sh --openstack ;; esac
case "$action" in
up)
    # After a restart of the machine the containers are still there, but stopped.
    for engine in podman docker; do
        command -v "$engine" >/dev/null || continue
        $sudo "$engine" ps --all --quiet --filter status=exited --filter label=heat-scaleout="$PWD" \
            --filter "name=^heat-$STACK-" 2>/dev/null | while read -r container; do
            echo "starting stopped container $container"
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
    # The generation is an ordinary setting and stays in the stack's file.
    pulumi config set generation $(($(setting generation) + 1))
    update
    ;;
esac
