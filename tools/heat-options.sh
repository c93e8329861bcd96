#!/bin/sh
# List again which options each release of Heat knows: components/heat/options.txt. Installs the releases in a directory
# that it removes. Read the diff, then run the tests.
set -eu
cd "$(dirname "$0")/.."
uv=${UV:-uv}
command -v "$uv" >/dev/null || { echo "uv is required. Type: pip install uv, or UV=/path/to/uv make options" >&2; exit 1; }

# One release of each series, the oldest first.
releases=${RELEASES:-24.1.2 25.0.2 26.0.2 27.0.1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
lists=
for release in $releases; do
    lock=locks/heat-$release.txt
    "$uv" venv --quiet --python 3.11 "$work/$release"
    if [ -f "$lock" ]; then
        "$uv" pip install --quiet --python "$work/$release" --require-hashes -r "$lock"
    else
        "$uv" pip install --quiet --python "$work/$release" "openstack-heat==$release" 'sqlalchemy<2.1'
    fi
    "$work/$release/bin/python" tools/heat_options.py list >"$work/$release.json" 2>"$work/log" ||
        { cat "$work/log" >&2; exit 1; }
    lists="$lists $work/$release.json"
done
# shellcheck disable=SC2086 # a list of files
python3 tools/heat_options.py merge $lists >"$work/options.txt"
mv "$work/options.txt" components/heat/options.txt
