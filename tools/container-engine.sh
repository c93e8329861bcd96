#!/bin/sh
# A container engine and what builds the base image, from the distribution's packages where they are missing.
set -eu

sudo=
[ "$(id -u)" = 0 ] || sudo='sudo -n'

wanted=
answers() { command -v "$1" >/dev/null && $sudo "$1" info >/dev/null 2>&1; }
if ! answers podman && ! answers docker; then
    # netavark is the network of podman 4 and later, and works by iptables without asking for it; older ones bring their
    # own. crun, which podman asks for by itself, cannot run everywhere: runc is the other one to try.
    wanted="podman runc iptables"
    if apt-cache show netavark >/dev/null 2>&1; then wanted="$wanted netavark"; fi
fi
command -v mmdebstrap >/dev/null || wanted="$wanted mmdebstrap gpg"
[ -f /usr/share/keyrings/debian-archive-keyring.gpg ] || wanted="$wanted debian-archive-keyring"
command -v ip >/dev/null || wanted="$wanted iproute2"
command -v ssh-keygen >/dev/null || wanted="$wanted openssh-client"
[ -n "$wanted" ] || exit 0

command -v apt-get >/dev/null || { echo "install these first, by this system's own means:$wanted" >&2; exit 1; }
echo "Installing from the distribution's packages:$wanted"
# shellcheck disable=SC2086 # words
$sudo sh -c 'DEBIAN_FRONTEND=noninteractive; export DEBIAN_FRONTEND
    apt-get -qq update && apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends "$@" >/dev/null' sh $wanted
answers podman || answers docker || { echo "no container engine answers: try $sudo podman info" >&2; exit 1; }
