{% include "hosts/containers/sudo.inc.sh" %}

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
