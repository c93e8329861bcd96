# Heat from a clone of its source, in a virtual environment of its own for each of its refs.
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
# constrained_venv PREFIX WANTED CONSTRAINTS: a virtual environment at PREFIX with the packages that WANTED names and what
# they need, in versions that CONSTRAINTS allows. Does nothing when it was made for the same before.
constrained_venv() {
    prefix=$1 wanted=$2 constraints=$3
    cmp -s "$wanted" "$prefix/requirements.txt" && return 0
    python_packages "$prefix"
    "$uv" --quiet pip compile --python "$prefix/bin/python" --no-header --no-annotate --constraint "$constraints" \
        --output-file "$prefix/resolved.txt" "$wanted" >/dev/null
    "$uv" --quiet pip sync --python "$prefix/bin/python" --compile-bytecode "$prefix/resolved.txt"
    cp "$wanted" "$prefix/requirements.txt"
}
# installed: what every installation ends with: Heat's user, the list that each configuration file is checked against,
# and a word on what there is now, for the program.
installed() {
    getent passwd heat >/dev/null || useradd --system --home-dir /var/lib/heat --shell /usr/sbin/nologin heat
    install -d -o heat -g heat -m 0750 /var/lib/heat
    /opt/heat/git-stable-2026.1/bin/python /usr/local/lib/heat-scaleout/installed.py /opt/heat/git-stable-2026.1/options.json
}

packages git python3-venv curl iproute2
source=/opt/heat/git-stable-2026.1/source
if [ ! -d "$source" ]; then
    # All of it: Heat's version is made of its tags and of how many commits there are since.
    rm -rf "$source.new"
    told=$(git clone --quiet --no-checkout -- https://opendev.org/openstack/heat "$source.new" 2>&1) || {
        echo 'git cannot clone https://opendev.org/openstack/heat'" on $(hostname): $told" >&2
        exit 1
    }
    commit=$(git -C "$source.new" rev-parse --verify --quiet 'refs/remotes/origin/stable/2026.1^{commit}') ||
        commit=$(git -C "$source.new" rev-parse --verify --quiet 'stable/2026.1^{commit}') || {
        echo 'https://opendev.org/openstack/heat has no tag, branch or commit stable/2026.1' >&2
        exit 1
    }
    git -C "$source.new" checkout --quiet --detach "$commit"
    mv "$source.new" "$source"
fi
constrained_venv /opt/heat/git-stable-2026.1 /opt/heat/requirements-git-stable-2026.1.txt /opt/heat/constraints-git-stable-2026.1.txt
installed
