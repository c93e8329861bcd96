# Install HAProxy from the distribution. It does not listen anywhere yet.
set -eu
# packages NAME …: install the missing packages. The lists are fetched only if a package is missing. The lock is for
# both steps: apt itself waits for other processes only in "install".
packages() {
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2016,SC2086 # the inner shell's; words
    output=$(DEBIAN_FRONTEND=noninteractive flock -w 600 /run/heat-scaleout/private/apt.lock sh -c '
        apt-get -qq -o DPkg::Lock::Timeout=600 update &&
            apt-get -qq -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold \
                install -y --no-install-recommends "$@"' sh $missing 2>&1) || {
        echo "apt-get cannot install$missing on $(hostname):" >&2
        echo "$output" | tail -n 20 >&2
        return 1
    }
}
# stamps UNIT FILE …: record the digests of the files that UNIT reads, at each start of the unit, also after a reboot.
# systemd writes them to /run/heat-scaleout/UNIT/read, which only root can read. $on_reload is "yes" for a unit that
# reads its files again at a reload.
stamps() {
    stamped=$1
    shift
    stamp=/run/heat-scaleout/$stamped/read
    write="+/bin/sh -c \"umask 022 && install -d ${stamp%/*} && rm -f $stamp && umask 077 && exec sha256sum $* >$stamp\""
    text=$(printf '# Managed by heat-scaleout: changes are overwritten.\n[Service]\nExecStartPre=%s' "$write")
    [ "${on_reload-}" != yes ] || text=$(printf '%s\nExecReload=%s' "$text" "$write")
    dropin=/etc/systemd/system/$stamped.service.d/heat-scaleout-stamp.conf
    [ "$(cat "$dropin" 2>/dev/null)" != "$text" ] || return 0
    mkdir -p "${dropin%/*}"
    printf '%s\n' "$text" >"$dropin"
    systemctl daemon-reload
}
packages haproxy python3 iproute2
# The distribution's unit mounts the log device into HAProxy's root, which systemd cannot do in a container. This
# configuration does not use the log device.
dropin=/etc/systemd/system/haproxy.service.d/no-mounts.conf
if systemd-detect-virt --quiet --container && [ ! -f "$dropin" ]; then
    mkdir -p "${dropin%/*}"
    printf '[Service]\nBindReadOnlyPaths=\n' >"$dropin"
    systemctl daemon-reload
fi
on_reload=yes stamps haproxy /etc/haproxy/haproxy.cfg
