#!/bin/sh
# Install a container engine, and what builds the base image, from the distribution's packages if they are missing.
set -eu

sudo=
[ "$(id -u)" = 0 ] || sudo='sudo -n'

wanted=
answers() { command -v "$1" >/dev/null && $sudo "$1" info >/dev/null 2>&1; }
if ! answers podman && ! answers docker; then
    # podman 4 and later need netavark for networks, which needs iptables without depending on it; an older podman has its
    # own. crun, podman's own dependency, cannot run everywhere: runc is the alternative.
    wanted="podman runc iptables"
    if apt-cache show netavark >/dev/null 2>&1; then wanted="$wanted netavark"; fi
fi
command -v mmdebstrap >/dev/null || wanted="$wanted mmdebstrap gpg"
[ -f /usr/share/keyrings/debian-archive-keyring.gpg ] || wanted="$wanted debian-archive-keyring"
command -v ip >/dev/null || wanted="$wanted iproute2"
command -v ssh-keygen >/dev/null || wanted="$wanted openssh-client"
[ -n "$wanted" ] || exit 0

command -v apt-get >/dev/null || { echo "This system has no apt-get. Install these packages with its own package manager, then try again:$wanted" >&2; exit 1; }
echo "Installing from the distribution's packages:$wanted"
# shellcheck disable=SC2086 # words
$sudo sh -c 'DEBIAN_FRONTEND=noninteractive; export DEBIAN_FRONTEND
    apt-get -qq update && apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends "$@" >/dev/null' sh $wanted
answers podman || answers docker || { echo "The container engine does not work. To see why, type: $sudo podman info" >&2; exit 1; }
