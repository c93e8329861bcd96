#!/bin/sh
# Install a container engine, and what builds the base image, from the distribution's packages if they are missing.
set -eu

sudo=
[ "$(id -u)" = 0 ] || sudo='sudo -n'

missing=
answers() { command -v "$1" >/dev/null && $sudo "$1" info >/dev/null 2>&1; }
if ! answers podman && ! answers docker; then
    # podman 4 and later need netavark for networks, which needs iptables without depending on it; an older podman has its
    # own. crun, podman's own dependency, cannot run everywhere: runc is the alternative.
    missing="podman runc iptables"
    if apt-cache show netavark >/dev/null 2>&1; then missing="$missing netavark"; fi
fi
command -v mmdebstrap >/dev/null || missing="$missing mmdebstrap gpg"
[ -f /usr/share/keyrings/debian-archive-keyring.gpg ] || missing="$missing debian-archive-keyring"
command -v ip >/dev/null || missing="$missing iproute2"
command -v ssh-keygen >/dev/null || missing="$missing openssh-client"
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null || { echo "This system has no apt-get. Install these packages with its own package manager, then try again:$missing" >&2; exit 1; }
echo "Installing from the distribution's packages:$missing"
# shellcheck disable=SC2086 # words
$sudo sh -c 'DEBIAN_FRONTEND=noninteractive; export DEBIAN_FRONTEND
    apt-get -qq update && apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends "$@" >/dev/null' sh $missing
answers podman || answers docker || { echo "The container engine does not work. To see why, type: $sudo podman info" >&2; exit 1; }
