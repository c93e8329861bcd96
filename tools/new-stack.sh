#!/bin/sh
# Make a stack of this checkout, and the passphrase that its secrets are kept under, where they are not there yet.
#
#   tools/new-stack.sh STACK
set -eu
cd "$(dirname "$0")/.."
STACK=$1
export STACK
# shellcheck source=env.sh
. ./env.sh

mkdir -p .state
chmod 0700 .state
[ -s .state/passphrase ] || (umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >.state/passphrase)
pulumi stack select "$STACK" 2>/dev/null || pulumi stack init "$STACK" >/dev/null
