#!/bin/sh
# Create a stack if it does not exist, and select it. Also create a passphrase for its secrets, if the state is in this
# checkout and you have set no passphrase of your own: docs/state.md.
#
#   tools/new-stack.sh STACK
set -eu
cd "$(dirname "$0")/.."
STACK=$1
export STACK
# shellcheck source=env.sh
. ./env.sh

config=Pulumi.${STACK##*/}.yaml
passphrase=$PWD/.state/passphrase
provider=$(sed -n 's/^secretsprovider: *//p' "$config" 2>/dev/null || true)
provider=$(printf '%s' "$provider" | tr -d "'\"")
salted() { grep -q '^encryptionsalt:' "$config" 2>/dev/null; }

# What to do about secrets in the stack's file that can no longer be decrypted.
unreadable() {
    echo "$config has a salt (encryptionsalt) that does not match $1." >&2
    echo "If you have a copy of the state and the passphrase, restore them: docs/state.md." >&2
    echo "If they are lost, the secrets in $config are lost too. Then remove the salt, and run this command again:" >&2
    echo "    sed -i '/^encryptionsalt:/d' $config" >&2
    if grep -q '^ *\(- \)\{0,1\}secure:' "$config"; then
        echo "Also remove these secrets, each with its key, and set them again (pulumi config set --secret …):" >&2
        grep -n -B 1 '^ *\(- \)\{0,1\}secure:' "$config" | sed -n 's/^\([0-9]*\)-\(.*\)/    line \1: \2/p' >&2
    fi
    exit 1
}

mkdir -p .state
chmod 0700 .state
if [ "${PULUMI_CONFIG_PASSPHRASE_FILE-}" = "$passphrase" ] && [ "${provider:-passphrase}" = passphrase ] &&
    [ ! -s "$passphrase" ]; then
    if salted; then unreadable "any passphrase here: $passphrase does not exist"; fi
    (umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$passphrase.new" && mv "$passphrase.new" "$passphrase")
fi
pulumi stack select "$STACK" 2>/dev/null && exit

# Pulumi writes a salt into the file of a new stack. The file does not need it, because the state has a salt from the first
# `up` on. It does need what another provider writes there, and the salt of secrets that it already has.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
at=.
if [ -z "$provider" ] && ! salted; then
    cp Pulumi.yaml "$work/"
    at=$work
fi
if ! pulumi -C "$at" stack init "$STACK" ${provider:+--secrets-provider "$provider"} >/dev/null 2>"$work/error"; then
    cat "$work/error" >&2
    if grep -q 'incorrect passphrase' "$work/error"; then unreadable "the passphrase in use"; fi
    exit 1
fi
