# python_packages PREFIX: install uv, and create a virtual environment at PREFIX. Python is the system's, or uv installs
# one if the system's is too old.
python_packages() {
    # A company's own certificates are in the system's bundle, not in the bundles of pip and uv.
    if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
        export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt
    fi
{% if packages.index_url %}
    export PIP_INDEX_URL={{ packages.index_url | sh }} UV_DEFAULT_INDEX={{ packages.index_url | sh }}
{% endif %}
{% if packages.wheelhouse %}
    export PIP_FIND_LINKS={{ packages.wheelhouse | sh }} UV_FIND_LINKS={{ packages.wheelhouse | sh }}
{% if packages.wheelhouse.startswith("/") %}
    [ -d {{ packages.wheelhouse | sh }} ] || { echo {{ ("there is no directory " + packages.wheelhouse + " (wheelhouse)") | sh }}" on $(hostname)" >&2; exit 1; }
{% endif %}
{% if not packages.index_url %}
    # uv accepts this as an argument only.
    export PIP_NO_INDEX=1
    no_index=--no-index
{% endif %}
{% endif %}
    export UV_NO_CACHE=1 UV_PYTHON_INSTALL_DIR=/opt/uv/python
    uv=/opt/uv/{{ uv_version }}/bin/uv
    if [ ! -x "$uv" ]; then
        python3 -m venv /opt/uv/{{ uv_version }}
        # uv verifies the digests of all other packages, so pip verifies uv's own.
        /opt/uv/{{ uv_version }}/bin/python -m pip --quiet --disable-pip-version-check --no-input install \
            --require-hashes --only-binary :all: -r /dev/stdin <<'END_OF_UV'
{% include "uv.txt" %}
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
