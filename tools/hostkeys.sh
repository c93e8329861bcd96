#!/bin/sh
# Fetch the SSH host keys of existing hosts and pin them in the stack's file: what `make hostkeys` runs. Shows the
# fingerprints before it asks. Compare them with those on the hosts: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
#
#   tools/hostkeys.sh STACK [--yes]
set -eu
cd "$(dirname "$0")/.."
STACK=$1
export STACK
# shellcheck source=env.sh
. ./env.sh

fail() {
    # A message may contain what a server sent: no control characters for the terminal.
    printf 'hostkeys: %s\n' "$*" | tr -cd '[:print:]\n' >&2
    exit 1
}

yes=
[ "${2-}" != --yes ] || yes=1
[ -n "$yes" ] || [ -t 0 ] || fail "there is no terminal to compare fingerprints in. Run it in a terminal, or with --yes if you trust the network."
for tool in ssh ssh-keyscan ssh-keygen; do
    command -v "$tool" >/dev/null || fail "$tool is missing. Type: apt install openssh-client"
done

# A private key in the settings goes into an ssh-agent that ends with this script, and never onto a disk.
if [ -z "${HOSTKEYS_AGENT-}" ] && [ -n "$(pulumi config get sshPrivateKey 2>/dev/null </dev/null)" ]; then
    HOSTKEYS_AGENT=1
    export HOSTKEYS_AGENT
    exec ssh-agent "$PWD/tools/hostkeys.sh" "$@"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"; [ -z "${HOSTKEYS_AGENT-}" ] || kill "$SSH_AGENT_PID"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Validated values only: the user of the jump host, then a line for each host.
pulumi config --json >"$work/config"
.venv/bin/python tools/hostkeys.py "$STACK" <"$work/config" >"$work/listed"
user=$(head -n 1 "$work/listed")
tail -n +2 "$work/listed" >"$work/hosts"
[ -s "$work/hosts" ] || fail "no host has an address yet. Type: pulumi config set --path existing.front.address 10.0.0.1 --stack $STACK"

confirm() {
    [ -z "$yes" ] || return 0
    printf '%s [y/N] ' "$1" >&2
    read -r answer </dev/tty
    case "$answer" in y | Y | yes) ;; *) fail "nothing was changed" ;; esac
}

# Run a command on the jump host, whose key the operator has confirmed.
over_jump() {
    ssh -F /dev/null -o BatchMode=yes -o ConnectTimeout=10 -o StrictHostKeyChecking=yes \
        -o UserKnownHostsFile="$work/known" -o GlobalKnownHostsFile=/dev/null -o HostKeyAlgorithms=ssh-ed25519 \
        ${HOSTKEYS_AGENT:+-o IdentityFile=none -o IdentityAgent=SSH_AUTH_SOCK} -p "$jump_port" -l "$user" -- "$jump_address" "$@" </dev/null
}

jump_address='' jump_port=''
while read -r path address port way pinned; do
    case "$way" in
    direct) line=$(ssh-keyscan -T 10 -t ed25519 -p "$port" -- "$address" 2>"$work/error") || line= ;;
    *) line=$(over_jump ssh-keyscan -T 10 -t ed25519 -p "$port" -- "$address" 2>"$work/error") || line= ;;
    esac
    line=$(echo "$line" | grep ' ssh-ed25519 ' | head -n 1 | cut -d ' ' -f 2-3)
    [ -n "$line" ] || fail "$path ($address port $port) offers no ed25519 host key: $(tail -n 1 "$work/error")"
    echo "$path $line" >>"$work/keys"
    note=
    [ "$pinned" = - ] || [ "$pinned" = "${line#* }" ] || note=", NOT the pinned key"
    echo "$path $address $(echo "$line" | ssh-keygen -lf - | cut -d ' ' -f 2)$note"
    if [ "$path" = existing.jump ]; then
        confirm "Is this the jump host's key?"
        jump_address=$address jump_port=$port
        echo "$([ "$port" = 22 ] && echo "$address" || echo "[$address]:$port") $line" >"$work/known"
        # The private key for the hosts is in the settings, or in the operator's own agent.
        if [ -n "${HOSTKEYS_AGENT-}" ]; then
            pulumi config get sshPrivateKey </dev/null | SSH_ASKPASS_REQUIRE=never ssh-add -q -t 600 - ||
                fail "sshPrivateKey is not a usable private key. Type: pulumi config set --secret sshPrivateKey --stack $STACK <~/.ssh/id_ed25519"
        fi
    fi
done <"$work/hosts"

confirm "Are these the hosts' keys?"
while read -r path line; do
    pulumi config set --path "$path.hostKey" "$line" </dev/null
done <"$work/keys"
echo "pinned in Pulumi.$STACK.yaml"
