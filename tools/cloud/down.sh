#!/bin/sh
# Take the cloud away, with all that was made in it: what `make cloud-down` does, and `make down`. Its image's file stays
# in .state/cache, from which the next `make cloud` has it back.
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=tools/cloud/lab.inc.sh
. tools/cloud/lab.inc.sh
[ -e "$state" ] || exit 0

for engine in podman docker; do
    command -v "$engine" >/dev/null || continue
    engine="$sudo $engine"
    if owned "$engine" container; then
        $engine exec -i "$cloud" sh -s <tools/cloud/release.sh >/dev/null 2>&1 || true
        $engine kill "$cloud" >/dev/null 2>&1 || true
        $engine rm -f "$cloud" >/dev/null
    fi
    if owned "$engine" network; then $engine network rm "$cloud" >/dev/null; fi
done
# shellcheck disable=SC2086 # words
$sudo ip route del $blackhole 2>/dev/null || true
rm -rf "$state"
tools/remove-images.sh
