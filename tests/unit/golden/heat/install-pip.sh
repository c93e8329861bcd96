# Heat from PyPI, in a virtual environment of its own for each release, so that releases live side by side.
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
    told=$(DEBIAN_FRONTEND=noninteractive flock -w 600 /run/heat-scaleout/private/apt.lock sh -c '
        apt-get -qq -o DPkg::Lock::Timeout=600 update &&
            apt-get -qq -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold \
                install -y --no-install-recommends "$@"' sh $missing 2>&1) || {
        echo "apt-get cannot install$missing on $(hostname):" >&2
        echo "$told" | tail -n 20 >&2
        return 1
    }
}
# python_packages PREFIX: have uv, and a virtual environment at PREFIX. Python comes from the system, and by uv where the
# system's is too old for what is installed.
python_packages() {
    # A company's own certificates are in the system's bundle, not in the ones that pip and uv bring along.
    if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
        export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt
    fi
    export UV_NO_CACHE=1 UV_PYTHON_INSTALL_DIR=/opt/uv/python
    uv=/opt/uv/0.13.9/bin/uv
    if [ ! -x "$uv" ]; then
        python3 -m venv /opt/uv/0.13.9
        /opt/uv/0.13.9/bin/python -m pip --quiet --disable-pip-version-check --no-input install uv==0.13.9
    fi
    [ -x "$1/bin/python" ] || "$uv" --quiet venv --allow-existing --python '>=3.11,<3.14' "$1"
}

# locked_venv PREFIX LOCK: a virtual environment at PREFIX with exactly the packages of LOCK, their digests verified.
# Does nothing when it was made from the same list before.
locked_venv() {
    prefix=$1 lock=$2
    cmp -s "$lock" "$prefix/requirements.txt" && return 0
    python_packages "$prefix"
    # Byte code now: the user that runs it may not write here, and would compile all of it at every start.
    "$uv" --quiet pip sync --python "$prefix/bin/python" --require-hashes --compile-bytecode "$lock"
    cp "$lock" "$prefix/requirements.txt"
}
# installed: what every installation ends with: Heat's user, the list that each configuration file is checked against,
# and a word on what there is now, for the program.
installed() {
    getent passwd heat >/dev/null || useradd --system --home-dir /var/lib/heat --shell /usr/sbin/nologin heat
    install -d -o heat -g heat -m 0750 /var/lib/heat
    /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/installed.py /opt/heat/27.0.1/options.json
}

packages python3-venv curl iproute2
locked_venv /opt/heat/27.0.1 /opt/heat/requirements-27.0.1.txt
installed
