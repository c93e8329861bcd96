# HAProxy from the distribution, not yet listening anywhere.
set -eu
# packages NAME …: make sure that these are installed. The lists are fetched only when something is missing, and one
# script at a time asks: apt itself waits for its neighbours in one of its two steps only.
packages() {
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2016,SC2086 # the inner shell's; words
    told=$(DEBIAN_FRONTEND=noninteractive flock -w 600 /run/lock/heat-scaleout-apt sh -c '
        apt-get -qq -o DPkg::Lock::Timeout=600 update &&
            apt-get -qq -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold \
                install -y --no-install-recommends "$@"' sh $missing 2>&1) || {
        echo "apt-get cannot install$missing on $(hostname):" >&2
        echo "$told" | tail -n 20 >&2
        return 1
    }
}
packages haproxy python3 iproute2
# In a container systemd may not mount what the distribution's unit wants mounted into HAProxy's root. It is the log
# device, which this configuration does not use.
dropin=/etc/systemd/system/haproxy.service.d/no-mounts.conf
if systemd-detect-virt --quiet --container && [ ! -f "$dropin" ]; then
    mkdir -p "${dropin%/*}"
    printf '[Service]\nBindReadOnlyPaths=\n' >"$dropin"
    systemctl daemon-reload
fi
