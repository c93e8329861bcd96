#!/bin/sh
# Remove the cloud and everything in it: what `make cloud-down` runs, and `make down`. The file of its image stays in
# .state/cache, from which the next `make cloud` loads it.
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=tools/lab/lab.inc.sh
. tools/lab/lab.inc.sh
[ -e "$state" ] || exit 0

for engine in podman docker; do
    command -v "$engine" >/dev/null || continue
    engine="$sudo $engine"
    if owned "$engine" container; then
        $engine exec -i "$cloud" sh -s <tools/lab/release.sh >/dev/null 2>&1 || true
        discard "$engine" "$cloud"
    fi
    if owned "$engine" network; then $engine network rm "$cloud" >/dev/null; fi
    for image in $($engine image ls --quiet --filter reference="$repository" 2>/dev/null); do
        $engine image rm "$image" >/dev/null 2>&1 || true # in use
    done
done
# shellcheck disable=SC2086 # words
$sudo ip route del $blackhole 2>/dev/null || true
rm -rf "$state"
tools/remove-images.sh
