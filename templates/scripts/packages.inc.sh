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
