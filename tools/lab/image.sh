#!/bin/sh
# Print four lines: the engine, the image of the cloud's container, the flags to run it with, the base image. The image is
# the containers' base image with the packages of tools/lab/packages.sh. It is kept in a file: building it takes minutes,
# loading it seconds.
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=tools/lab/lab.inc.sh
. tools/lab/lab.inc.sh
cache=$PWD/.state/cache
found=$(base_image)
engine=${found%%"
"*}
base=${found#*"
"}
flags=$(.venv/bin/python -m tools.lab.scripts flags "$engine" "$base" | sh)

recipe=$({ echo "$base"; cat tools/lab/packages.sh; } | sha256sum | cut -c1-12)
image=$repository:$recipe
tarball=$cache/cloud-$recipe.tar
builder=$cloud-build-$$

build() {
    trap 'discard "$engine" "$builder"' EXIT
    # The engine's default network: the cloud's network may not exist yet.
    # shellcheck disable=SC2086 # words
    $engine run -d --name "$builder" $flags "$base" >/dev/null
    $engine exec "$builder" sh -c 'timeout 60 systemctl is-system-running --wait >/dev/null 2>&1 || true' </dev/null
    $engine exec -i "$builder" sh -s <tools/lab/packages.sh
    $engine export "$builder" >"$tarball.new"
    mv "$tarball.new" "$tarball"
    discard "$engine" "$builder"
    trap - EXIT
}

if ! $engine image inspect "$image" >/dev/null 2>&1; then
    [ -f "$tarball" ] || { echo "cloud: installing OpenStack into an image, once. This takes some minutes." >&2; build >&2; }
    $engine import --change 'CMD ["/sbin/init"]' --change 'STOPSIGNAL SIGRTMIN+3' "$tarball" "$image" >/dev/null
fi
echo "$engine"
echo "$image"
echo "$flags"
echo "$base"
