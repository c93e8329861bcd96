#!/bin/sh
# An ed25519 key pair on stdout: the private key in OpenSSH's format, then the public key on a line of its own.
set -eu
umask 077
command -v ssh-keygen >/dev/null || { echo "ssh-keygen is missing: apt install openssh-client" >&2; exit 1; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
ssh-keygen -q -t ed25519 -N '' -C '' -f "$dir/key"
cat "$dir/key" "$dir/key.pub"
