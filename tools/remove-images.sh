#!/bin/sh
# Remove the containers' base image from the container engine, unless another stack uses it. Its file stays in
# .state/cache, from which the next `up` loads it within seconds.
set -eu
sudo=
[ "$(id -u)" = 0 ] || sudo='sudo -n'
for engine in podman docker; do
    command -v "$engine" >/dev/null || continue
    $sudo "$engine" image ls --quiet --filter reference='localhost/heat-scaleout-*' 2>/dev/null | sort -u |
        while read -r image; do
            $sudo "$engine" image rm "$image" >/dev/null 2>&1 || true # in use
        done
done
