#!/bin/sh
# Pin every package with its digests: requirements.txt for the project, and in locks/ a list for each release of Heat, for
# Keystone, for the uv that installs them, and for the benchmark's plots. A pinned version stays as long as it fits; for
# newer versions, empty a list first. Read the diff, then run all tests.
#
#   UV_VERSION=…   the release of uv for the hosts; default: the pinned one
set -eu
cd "$(dirname "$0")/.."
uv=${UV:-uv}
command -v "$uv" >/dev/null || { echo "uv is required. Type: pip install uv, or UV=/path/to/uv make lock" >&2; exit 1; }

"$uv" pip compile --quiet --universal --no-annotate --no-header --generate-hashes --python-version 3.10 pyproject.toml \
    -o requirements.txt

# For the benchmark's plots, in an environment of its own.
echo matplotlib | "$uv" pip compile --quiet --universal --no-annotate --no-header --generate-hashes --python-version 3.10 - \
    -o locks/plot.txt

uv_lock=locks/uv.txt
echo "uv==${UV_VERSION:-$(sed -n 's/^uv==\([^ ]*\).*/\1/p' "$uv_lock")}" |
    "$uv" pip compile --quiet --universal --no-annotate --no-header --generate-hashes --python-version 3.10 - -o "$uv_lock"

# lock FILE REQUIREMENT …: what a service is installed with. Heat and Keystone do not depend on PyMySQL, a memcached client
# or uWSGI, because operators choose them. Upstream tests neither with SQLAlchemy 2.1.
lock() {
    file=$1
    shift
    printf '%s\n' "$@" 'sqlalchemy<2.1' pymysql pymemcache python-memcached pyuwsgi |
        "$uv" pip compile --quiet --universal --no-annotate --no-header --generate-hashes --python-version 3.11 - -o "$file"
}

# tested_with SERIES: bounds on the libraries that matter to Heat, as upstream tests that series; none for the newest.
# Releases before 25 run on eventlet, which oslo's libraries have dropped since. For 26 not upstream's oslo.service 4.5: it
# spawns workers instead of forking them, and they lack what their master has set up.
tested_with() {
    case $1 in
    24) echo 'eventlet~=0.39.0 keystonemiddleware~=10.9.1 oslo.db~=17.2.1 oslo.messaging~=16.1.2 oslo.service~=4.1.2' ;;
    25) echo 'keystonemiddleware~=10.12.1 oslo.db~=17.4.0 oslo.messaging~=17.1.0 oslo.service~=4.3.0' ;;
    26) echo 'keystonemiddleware~=12.0.0 oslo.db~=18.0.0 oslo.messaging~=17.3.0 oslo.service>=4.8' ;;
    esac
}

for file in locks/heat-*.txt; do
    release=${file##*/heat-}
    release=${release%.txt}
    # shellcheck disable=SC2046 # words
    lock "$file" "openstack-heat==$release" $(tested_with "${release%%.*}")
done
for file in locks/keystone-*.txt; do
    release=${file##*/keystone-}
    lock "$file" "keystone==${release%.txt}"
done
