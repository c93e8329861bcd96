#!/bin/sh
# Print the path of the image that the cloud's instances boot, in a format for Glance. It is built from the containers'
# base image with tools/lab/guest.sh, and kept in .state/cache.
#
#   tools/lab/guest-image.sh "$(tools/lab/image.sh)"
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=tools/lab/lab.inc.sh
. tools/lab/lab.inc.sh
{
    read -r engine
    read -r image
    read -r flags
    read -r base
} <<END
$1
END
recipe=$({ echo "$base"; cat tools/lab/guest.sh; } | sha256sum | cut -c1-12)
file=$PWD/.state/cache/debian-12-$recipe.qcow2
builder=$cloud-guest-$$

build() {
    trap 'discard "$engine" "$builder"; discard "$engine" "$builder-disk"; rm -f "$file.tar" "$file.new"' EXIT
    # Another stack may have removed it since.
    base_image >/dev/null
    # shellcheck disable=SC2086 # words
    $engine run -d --name "$builder" $flags "$base" >/dev/null
    $engine exec -i "$builder" sh -s <tools/lab/guest.sh
    # Through a file: podman's export into a pipe without a reader never ends, and blocks all of podman.
    $engine export "$builder" --output "$file.tar"
    # A file system without partitions: an instance that is a container mounts it.
    # shellcheck disable=SC2086 # words
    $engine run -i --rm --name "$builder-disk" --network none $flags --systemd=false \
        --entrypoint '["sh", "-ec"]' "$image" "
        mkdir /work /work/root
        tar -C /work/root -x --exclude 'dev/*'
        truncate -s 5G /work/disk
        mke2fs -q -t ext4 -d /work/root /work/disk >&2
        qemu-img convert -f raw -O qcow2 /work/disk /work/disk.qcow2
        cat /work/disk.qcow2" <"$file.tar" >"$file.new"
    mv "$file.new" "$file"
}

[ -f "$file" ] || { echo "cloud: building the image of the instances, once" >&2; build >&2; }
echo "$file"
