set -eu
# Containers run as root: their systemd needs cgroups, and this machine needs a route to the bridge.
sudo=
[ "$(id -u)" = 0 ] || sudo='sudo -n'

# find_engine: print the command line of this machine's container engine, without arguments.
find_engine() {
    for candidate in podman docker; do
        if command -v "$candidate" >/dev/null && $sudo "$candidate" info >/dev/null 2>&1; then
            echo "$sudo $candidate"
            return
        fi
    done
    echo "no container engine answers on this machine (tried: podman info, docker info, as root or by sudo -n)." >&2
    echo "Type: sudo apt install podman runc mmdebstrap   (make up does it)" >&2
    return 1
}

# Debian with systemd as PID 1, sshd and python3: what a cloud's VM has, and no more. Made by mmdebstrap, so that no
# image registry is needed, and kept in a file: a new `up` imports it within seconds. With the lists of packages, so
# that each container has to fetch only what has changed since.
packages=systemd,systemd-sysv,dbus,openssh-server,sudo,python3,python3-venv,ca-certificates,curl,iproute2,nftables,iputils-ping,procps,less
suite=bookworm

build() {
    command -v mmdebstrap >/dev/null || { echo "mmdebstrap is missing: sudo apt install mmdebstrap debian-archive-keyring" >&2; exit 1; }
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    # What this machine's apt was told about proxies holds for the containers' too.
    apt-config dump 2>/dev/null | grep -E '^Acquire::(http|https)::Proxy|^Acquire::Check-' >"$work/machine.conf" || true
    # Certificates that this machine trusts and Debian does not, such as a company's own, one file each. The names are
    # free: update-ca-certificates takes every *.crt.
    cat >"$work/machine-ca" <<'END_OF_HOOK'
#!/bin/sh
set -eu
awk -v dir="$1/usr/local/share/ca-certificates" '
    /-----BEGIN CERTIFICATE-----/ { body = "" }
    { body = body $0 "\n" }
    /-----END CERTIFICATE-----/ {
        if (NR == FNR) known[body] = 1
        else if (!(body in known)) { file = dir "/machine-" ++n ".crt"; printf "%s", body > file; close(file) }
    }' "$1/etc/ssl/certs/ca-certificates.crt" "$MACHINE_CA"
chroot "$1" update-ca-certificates >/dev/null
END_OF_HOOK
    chmod +x "$work/machine-ca"
    # shellcheck disable=SC2016 # each hook has a shell of its own
    $sudo env MACHINE_CA="$machine_ca" mmdebstrap --quiet --variant=minbase --include="$packages" \
        --aptopt="$work/machine.conf" --dpkgopt='path-exclude=/usr/share/{doc,locale,man}/*' \
        --skip=cleanup/apt/lists --customize-hook="copy-in $work/machine.conf /tmp" \
        --customize-hook="mv \"\$1/tmp/machine.conf\" \"\$1/etc/apt/apt.conf.d/80machine\"" \
        --customize-hook="$work/machine-ca \"\$1\"" \
        --customize-hook='rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/machine-id && : >"$1/etc/machine-id"' \
        --customize-hook='printf "PermitRootLogin prohibit-password\nPasswordAuthentication no\nMaxStartups 100\n" >"$1/etc/ssh/sshd_config.d/heat-scaleout.conf"' \
        -- "$suite" "$work/base.tar" 
    mkdir -p "$cache"
    mv "$work/base.tar" "$tarball.new"
    mv "$tarball.new" "$tarball"
}

engine=$(find_engine)
machine_ca=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
cache=/the/checkout/.state/cache
# Another recipe, or other certificates, make another image.
recipe=$({ echo 2efe50a1dfda0a67766a698c1ab63baa2425e64fdf10ad01486ffa3c45cc1cf3 ''; cat "$machine_ca" 2>/dev/null; } | sha256sum | cut -c1-12)
tarball=$cache/debian-$suite-$recipe.tar
image=localhost/heat-scaleout-$suite:$recipe

if ! $engine image inspect "$image" >/dev/null 2>&1; then
    [ -f "$tarball" ] || build >&2
    $engine import --change 'CMD ["/sbin/init"]' --change 'STOPSIGNAL SIGRTMIN+3' "$tarball" "$image" >/dev/null
fi
echo "$engine"
echo "$image"
