#!/bin/sh
# Pin every package anew, with digests where hosts install them: requirements.txt for the project, and a list for each
# release of Heat and for Keystone below templates/. Read the diff, then run the whole of the tests.
set -eu
cd "$(dirname "$0")/.."
uv=${UV:-uv}
command -v "$uv" >/dev/null || { echo "uv is wanted: pip install uv, or UV=/where/it/is make lock" >&2; exit 1; }

"$uv" pip compile --quiet --universal --no-annotate --no-header --python-version 3.10 pyproject.toml -o requirements.txt

# lock FILE REQUIREMENT …: what a service is installed with. PyMySQL, memcached's client and uWSGI are the operator's to
# choose, so neither Heat nor Keystone names them; SQLAlchemy 2.1 is beyond what both are tested with.
lock() {
    file=$1
    shift
    printf '%s\n' "$@" 'sqlalchemy<2.1' pymysql pymemcache python-memcached pyuwsgi |
        "$uv" pip compile --quiet --universal --no-annotate --no-header --generate-hashes --python-version 3.11 - -o "$file"
}

for file in templates/heat/requirements-*.txt; do
    release=${file##*requirements-}
    lock "$file" "openstack-heat==${release%.txt}"
done
for file in templates/control_plane/requirements-keystone-*.txt; do
    release=${file##*requirements-keystone-}
    lock "$file" "keystone==${release%.txt}"
done
