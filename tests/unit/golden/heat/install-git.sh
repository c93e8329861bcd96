# Heat from a clone of its source, in a separate virtual environment for each ref.
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
# The logins were removed from the settings.
rm -f /etc/heat-scaleout/.netrc
# python_packages PREFIX: install uv, and create a virtual environment at PREFIX. Python is the system's, or uv installs
# one if the system's is too old.
python_packages() {
    # A company's own certificates are in the system's bundle, not in the bundles of pip and uv.
    if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
        export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt
    fi
    export UV_NO_CACHE=1 UV_PYTHON_INSTALL_DIR=/opt/uv/python
    uv=/opt/uv/0.13.9/bin/uv
    if [ ! -x "$uv" ]; then
        python3 -m venv /opt/uv/0.13.9
        # uv verifies the digests of all other packages, so pip verifies uv's own.
        /opt/uv/0.13.9/bin/python -m pip --quiet --disable-pip-version-check --no-input install \
            --require-hashes --only-binary :all: -r /dev/stdin <<'END_OF_UV'
uv==0.13.9 \
    --hash=sha256:16963d19594e18d746a70c7fce82237bde4f2cac4cfcf0ca2b84796fe9d0c6e9 \
    --hash=sha256:2c45530751517d6c3bbc69a19473f6effe47cce047bede01ffd8af7ea7b36b25 \
    --hash=sha256:3eeeb51a267a2144640fcd8f38d4a2f63439b39bc47445fd84727c3fc462c843 \
    --hash=sha256:5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe \
    --hash=sha256:56ec37616c00220032fc7b8c9d0ef51367fd0d70d9cd6ddd841660f949f84fed \
    --hash=sha256:66c512266d633bef48384a1f53003f41f2a8e7b36fe6e7fbfd3e0fd52d96fa63 \
    --hash=sha256:6a44b2ed8111d2f60d2b92627c5dccda3f7ed7570b18ce115e569cd68c28246b \
    --hash=sha256:6b0c7b9f47a5d011939d61e324d3fe18a8bc155d8dd53add738709a92f290a7c \
    --hash=sha256:6d5114bba238adddacb32fb11904f2b3ff4e988f8e9ff0d8d3b5e9822cf836b8 \
    --hash=sha256:7ec1e1dd9b6cb335c301afdf877989df384227313981850755a59561f75e4ab8 \
    --hash=sha256:a2ee66fe8b6608e1482ab1bde5799da04705c1cb40324c7f66054ecf46ae6e40 \
    --hash=sha256:a6e845f387e4ed55bb59342957a9179e24a631fcc7668bda3426ae1cef8ed4b9 \
    --hash=sha256:c16ed11e013557536b3e60065f1b912f6407bd6518e041b961e23ef9e6b4fbf5 \
    --hash=sha256:c5dbdb7c8737cd183a9dce95b39cfd1f3d54ec2a27a1bb58f160293f9ba2c805 \
    --hash=sha256:d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19 \
    --hash=sha256:db5c8df7145c21ffea9c0f74e38823bac3af60cbadf0e26b8633f08627b17bab \
    --hash=sha256:dd6f4f93ddf8a668c73f0945f3638444b2140a4e15a3912067493fc6335543e4 \
    --hash=sha256:ecb6028d79dc96fbeafffe5c8af62a7099487ebc05a701e76714eebcffd06375 \
    --hash=sha256:eeb92051c2123b9730c46b04cc843cfa4bc7d7b0aec56df431a2215ef4cb0273
END_OF_UV
    fi
    [ -x "$1/bin/python" ] || "$uv" --quiet venv --allow-existing --python '>=3.11,<3.14' "$1"
}

# locked_venv PREFIX LOCK: create a virtual environment at PREFIX with exactly the packages in LOCK, and verify their
# digests. Does nothing if LOCK has not changed.
locked_venv() {
    prefix=$1 lock=$2
    cmp -s "$lock" "$prefix/requirements.txt" && return 0
    python_packages "$prefix"
    # Compile now: Heat's user may not write here, and would compile everything at every start.
    "$uv" --quiet pip sync ${no_index:+"$no_index"} --python "$prefix/bin/python" --require-hashes --compile-bytecode "$lock"
    cp "$lock" "$prefix/requirements.txt"
}
# constrained_venv PREFIX REQUIREMENTS CONSTRAINTS: create a virtual environment at PREFIX with these requirements and
# their dependencies, in versions that CONSTRAINTS allows. Does nothing if REQUIREMENTS has not changed.
constrained_venv() {
    prefix=$1 requirements=$2 constraints=$3
    cmp -s "$requirements" "$prefix/requirements.txt" && return 0
    python_packages "$prefix"
    "$uv" --quiet pip compile ${no_index:+"$no_index"} --python "$prefix/bin/python" --no-header --no-annotate --constraint "$constraints" \
        --output-file "$prefix/resolved.txt" "$requirements" >/dev/null
    "$uv" --quiet pip sync ${no_index:+"$no_index"} --python "$prefix/bin/python" --compile-bytecode "$prefix/resolved.txt"
    cp "$requirements" "$prefix/requirements.txt"
}
# installed: the end of every installation: Heat's user, the list of options that each configuration file is checked
# against, and the report of what is installed.
installed() {
    getent passwd heat >/dev/null || useradd --system --home-dir /var/lib/heat --shell /usr/sbin/nologin heat
    install -d -o heat -g heat -m 0750 /var/lib/heat
    /opt/heat/git-stable-2026.1/bin/python /usr/local/lib/heat-scaleout/installed.py /opt/heat/git-stable-2026.1/options.json
}

packages git python3-venv curl iproute2
source=/opt/heat/git-stable-2026.1/source
if [ ! -d "$source" ]; then
    # A full clone: Heat's version comes from its tags and the number of commits since.
    rm -rf "$source.new"
    output=$(
        GIT_TERMINAL_PROMPT=0 git clone --quiet --no-checkout -- https://opendev.org/openstack/heat "$source.new" 2>&1
    ) || {
        echo 'git cannot clone https://opendev.org/openstack/heat'" on $(hostname): $output" >&2
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
