#!/bin/sh
# Install the Pulumi CLI with its Python language host, and the provider plugins, into the project's .tools/:
#   .tools/pulumi/        pulumi, pulumi-language-python, pulumi-language-python-exec, pulumi-resource-pulumi-python
#   .tools/pulumi-home/   PULUMI_HOME, with the plugins in it
# The versions are those that requirements.txt pins for the Python packages. The sources, in this order:
#   1. this machine: a pulumi of that version on PATH; a plugin of that version in the user's own Pulumi home
#   2. PULUMI_MIRROR: a directory, or an http(s) URL, of release archives under their official names. An archive is used
#      only if this repository lists its digest, or the mirror's SHA256SUMS does and PULUMI_MIRROR_SHA256 is the digest
#      of that list.
#   3. the official downloads, verified by the release's own checksums, and by this repository's list if it has them
#   4. package registries: the CLI is built from its Go modules (tools/offline/pulumi-build/), which takes minutes, once. The
#      command plugin is in no registry: the stand-in in tools/offline/command_provider/ replaces it until a later run
#      finds the real plugin. The OpenStack plugin has no stand-in.
#
# usage: tools/toolchain.sh [--openstack]
#   --openstack   install the OpenStack plugin too, which only stacks with `hosts: openstack` need
set -eu

say() { printf 'toolchain: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

with_openstack=no
case "$#:${1:-}" in
0:) ;;
1:--openstack) with_openstack=yes ;;
*) die "usage: tools/toolchain.sh [--openstack]" ;;
esac

# A relative mirror is relative to the caller's directory.
mirror=${PULUMI_MIRROR:-}
mirror_sha256=${PULUMI_MIRROR_SHA256:-}
case "$mirror" in
'' | /* | http://* | https://*) ;;
*) mirror=$PWD/$mirror ;;
esac

cd "$(dirname "$0")/.."
root=$PWD
cli_dir=$root/.tools/pulumi
home=$root/.tools/pulumi-home
# Digests of release archives, in the format of sha256sum: Pulumi's own releases, and builds from their sources.
official=tools/offline/official.sha256
built=tools/offline/built.sha256
cli_files='pulumi pulumi-language-python pulumi-language-python-exec pulumi-resource-pulumi-python'

pinned() { # print the version that requirements.txt pins for package $1
    version=$(sed -n "s/^$1==\([^ ;]*\).*/\1/p" requirements.txt)
    [ -n "$version" ] || die "requirements.txt pins no version of $1"
    printf '%s' "$version"
}

case "$(uname -s)-$(uname -m)" in
Linux-x86_64) cli_platform=linux-x64 plugin_platform=linux-amd64 ;;
Linux-aarch64 | Linux-arm64) cli_platform=linux-arm64 plugin_platform=linux-arm64 ;;
*) die "no release archive for $(uname -s) on $(uname -m): only Linux on x86_64 and aarch64 is supported" ;;
esac

# Not named pulumi: that would shadow the program on PATH.
installed_pulumi() {
    PULUMI_HOME=$home PULUMI_SKIP_UPDATE_CHECK=true "$cli_dir/pulumi" "$@"
}

# Why each source failed, one line per source, for the error at the end.
tried=
failed() { tried="$tried
  - $1: $2"; }

# --- archives -------------------------------------------------------------------------------------------------------

# fetch URL FILE SECONDS: download a file; on failure print the reason in one line. The limits are 5 seconds for the
# connection and SECONDS in all.
fetch() {
    timeout "$3" python3 -c '
import shutil, sys, urllib.request
try:
    with urllib.request.urlopen(sys.argv[1], timeout=5) as source, open(sys.argv[2], "wb") as target:
        shutil.copyfileobj(source, target)
except OSError as error:
    sys.exit(str(error))
' "$1" "$2" 2>&1 || {
        status=$?
        [ "$status" -ne 124 ] || printf 'no answer within %s s' "$3"
        return 1
    }
}

# checksum_of FILE ARCHIVE: print the checksum that the list FILE has for ARCHIVE.
checksum_of() {
    awk -v name="$2" '{ file = $2; sub(/^[*]?([.]\/)?/, "", file) } file == name { print $1; exit }' "$1"
}

# matches FILE CHECKSUM: the length of the checksum determines the algorithm.
matches() {
    case "${#2}" in
    40) actual=$(sha1sum "$1") ;;
    64) actual=$(sha256sum "$1") ;;
    128) actual=$(sha512sum "$1") ;;
    *) return 1 ;;
    esac
    [ "${actual%% *}" = "$2" ]
}

# pinned_in LIST ARCHIVE: whether $work/ARCHIVE has the digest that LIST has for it.
pinned_in() {
    digest=$(checksum_of "$1" "$2")
    [ "${#digest}" -eq 64 ] && matches "$work/$2" "$digest"
}

# from_mirror ARCHIVE: get the archive from PULUMI_MIRROR as $work/ARCHIVE.
from_mirror() {
    if [ -z "$mirror" ]; then
        failed PULUMI_MIRROR "not set"
        return 1
    fi
    get_from_mirror "$1" 900 || {
        failed PULUMI_MIRROR "$why"
        return 1
    }
    for list in "$official" "$built"; do
        if pinned_in "$list" "$1"; then
            source="PULUMI_MIRROR, verified by $list"
            return
        fi
    done
    # A list next to the archives proves nothing by itself: anyone who can change the archives can change the list too.
    get_from_mirror SHA256SUMS 30 || die "PULUMI_MIRROR: this repository does not know the digest of $mirror/$1, and
the mirror has no SHA256SUMS ($why).
Ask the mirror's administrator to write it (sha256sum *.tar.gz >SHA256SUMS) and to tell you its digest, then type:
export PULUMI_MIRROR_SHA256=<sha256 of $mirror/SHA256SUMS>"
    sums=$(sha256sum "$work/SHA256SUMS")
    sums=${sums%% *}
    [ -n "$mirror_sha256" ] || die "PULUMI_MIRROR: this repository does not know the digest of $mirror/$1.
$mirror/SHA256SUMS has the digest $sums. If the mirror's administrator confirms that digest, type:
export PULUMI_MIRROR_SHA256=$sums"
    [ "$sums" = "$mirror_sha256" ] || die "PULUMI_MIRROR_SHA256 is $mirror_sha256, but $mirror/SHA256SUMS
has the digest $sums: the list was changed. Ask the mirror's administrator why, before you set the new digest."
    expected=$(checksum_of "$work/SHA256SUMS" "$1")
    [ -n "$expected" ] || die "PULUMI_MIRROR: $mirror/SHA256SUMS does not list $1. Ask the mirror's administrator to add it."
    pinned_in "$work/SHA256SUMS" "$1" ||
        die "PULUMI_MIRROR: $mirror/$1 does not match its checksum in SHA256SUMS. Download the archive into the mirror again."
    source="PULUMI_MIRROR, verified by its SHA256SUMS, which has the digest PULUMI_MIRROR_SHA256"
}

# get_from_mirror NAME SECONDS: get a file of the mirror as $work/NAME.
get_from_mirror() {
    case "$mirror" in
    http://* | https://*)
        why=$(fetch "${mirror%/}/$1" "$work/$1" "$2") || {
            why="${mirror%/}/$1: $why"
            return 1
        }
        ;;
    *)
        if [ ! -r "$mirror/$1" ]; then
            why="no $1 in $mirror"
            return 1
        fi
        cp "$mirror/$1" "$work/$1" || die "cannot write to $work"
        ;;
    esac
}

# from_download ARCHIVE BASE_URL CHECKSUMS: download the archive from its official host as $work/ARCHIVE. The short list
# of checksums comes first: if that download fails, the archive is not requested.
from_download() {
    why=$(fetch "$2/$3" "$work/checksums" 15) || {
        failed "official download" "$2/$3: $why"
        return 1
    }
    expected=$(checksum_of "$work/checksums" "$1")
    if [ -z "$expected" ]; then
        failed "official download" "$2/$3 does not list $1"
        return 1
    fi
    say "downloading $2/$1"
    why=$(fetch "$2/$1" "$work/$1" 900) || {
        failed "official download" "$2/$1: $why"
        return 1
    }
    matches "$work/$1" "$expected" || die "$2/$1 does not match its checksum in $3. Try again. If it still does not match, do not use it."
    if [ -z "$(checksum_of "$official" "$1")" ]; then
        source="official download, verified by the release's own checksums alone: $official does not list it"
    elif pinned_in "$official" "$1"; then
        source="official download, verified by $official"
    else
        die "$2/$1 does not have the digest that $official lists: it is not the released file. Do not use it."
    fi
}

# --- the CLI --------------------------------------------------------------------------------------------------------

# accept_cli DIRECTORY [FILE]: copy the CLI's files from there, and FILE, if they have the pinned version.
accept_cli() {
    files="$cli_files ${2:-}"
    for file in $files; do
        [ -x "$1/$file" ] || {
            why="no $file in $1"
            return 1
        }
    done
    found=$(PULUMI_SKIP_UPDATE_CHECK=true "$1/pulumi" version 2>&1 | tail -n 1) || true
    if [ "$found" != "v$cli_version" ]; then
        why="$1/pulumi is '$found', not v$cli_version"
        return 1
    fi
    rm -rf "$cli_dir"
    mkdir "$cli_dir"
    for file in $files; do
        cp -L "$1/$file" "$cli_dir/$file" || die "cannot write to $cli_dir"
    done
    # Written last: it marks everything above as complete.
    printf '%s\n' "$cli_version" >"$cli_dir/VERSION"
    say "pulumi $cli_version: from $source"
}

cli_from_path() {
    found=$(command -v pulumi) || {
        failed PATH "no pulumi"
        return 1
    }
    found=$(dirname "$(readlink -f "$found")")
    if [ "$found" = "$cli_dir" ]; then
        failed PATH "no pulumi other than .tools/pulumi"
        return 1
    fi
    source="PATH ($found)"
    accept_cli "$found" || {
        failed PATH "$why"
        return 1
    }
}

cli_from_archive() {
    mkdir -p "$work/cli"
    # The release archive has the language hosts of all languages; these files are enough.
    # shellcheck disable=SC2046,SC2086 # one word for each file is the point
    why=$(tar -xzf "$work/$cli_archive" -C "$work/cli" $(printf 'pulumi/%s ' $cli_files) 2>&1) || {
        failed "${source%%,*}" "$cli_archive: $(printf '%s' "$why" | grep -m 1 .)"
        return 1
    }
    rm -f "$work/$cli_archive"
    accept_cli "$work/cli/pulumi" || {
        failed "${source%%,*}" "$cli_archive: $why"
        return 1
    }
}

cli_from_registries() {
    if ! grep -q "github.com/pulumi/pulumi/pkg/v3 v$cli_version\b" tools/offline/pulumi-build/cli/go.mod; then
        failed "build from registries" "tools/offline/pulumi-build/cli/go.mod is for another version"
        return 1
    fi
    say "building pulumi $cli_version from its Go modules, once, because no other source has it:$tried"
    { tools/venv.sh && tools/offline/pulumi-build/build.sh "$work/built" "$root/.tools/build" "$root/.venv/bin/python"; } 2>&1 |
        tee "$work/log" >&2
    source="a build from its Go modules"
    accept_cli "$work/built" pulumi-language-python-host 2>/dev/null || {
        failed "build from registries" "$(tail -n 1 "$work/log")"
        return 1
    }
}

get_cli() {
    cli_archive=pulumi-v$cli_version-$cli_platform.tar.gz
    cli_base=https://get.pulumi.com/releases/sdk
    tried=
    cli_from_path && return
    { from_mirror "$cli_archive" && cli_from_archive; } && return
    { from_download "$cli_archive" "$cli_base" "pulumi-$cli_version-checksums.txt" && cli_from_archive; } && return
    cli_from_registries && return
    die "no source has the Pulumi CLI $cli_version. Tried:$tried
What to do: on a machine with Internet access, download $cli_base/$cli_archive,
copy it into a directory on this machine, and run this again with PULUMI_MIRROR=that-directory."
}

# --- plugins --------------------------------------------------------------------------------------------------------

plugin_dir() { printf '%s' "$home/plugins/resource-$1-v$2"; }
plugin_archive() { printf '%s' "pulumi-resource-$1-v$2-$plugin_platform.tar.gz"; }
plugin_base() { printf '%s' "https://github.com/pulumi/pulumi-$1/releases/download/v$2"; }

plugin_is_there() { # NAME VERSION
    [ -x "$(plugin_dir "$1" "$2")/pulumi-resource-$1" ] && [ ! -e "$(plugin_dir "$1" "$2").partial" ]
}

# accept_plugin NAME VERSION FILE: FILE is an archive or a directory.
accept_plugin() {
    rm -rf "$(plugin_dir "$1" "$2")"
    why=$(installed_pulumi plugin install resource "$1" "$2" --file "$3" 2>&1) || true
    plugin_is_there "$1" "$2" || {
        failed "${source%%,*}" "$3: $(printf '%s' "$why" | tail -n 1)"
        return 1
    }
    say "pulumi-$1 $2: from $source"
}

plugin_from_user() {
    user_home=${PULUMI_HOME:-$HOME/.pulumi}
    found=$user_home/plugins/resource-$1-v$2
    if [ "$user_home" = "$home" ] || [ ! -x "$found/pulumi-resource-$1" ] || [ -e "$found/STAND-IN" ]; then
        failed "plugins of this user" "no $found"
        return 1
    fi
    source=$found
    accept_plugin "$1" "$2" "$found"
}

plugin_nearby() { # NAME VERSION
    plugin_from_user "$1" "$2" && return
    from_mirror "$(plugin_archive "$1" "$2")" && accept_plugin "$1" "$2" "$work/$(plugin_archive "$1" "$2")"
}

plugin_from_download() { # NAME VERSION
    from_download "$(plugin_archive "$1" "$2")" "$(plugin_base "$1" "$2")" "pulumi-$1_$2_checksums.txt" &&
        accept_plugin "$1" "$2" "$work/$(plugin_archive "$1" "$2")"
}

get_openstack() {
    tried=
    plugin_nearby openstack "$openstack_version" && return
    plugin_from_download openstack "$openstack_version" && return
    die "no source has the pulumi-openstack plugin $openstack_version, and there is no stand-in for it. Tried:$tried
What to do: on a machine with Internet access, download
$(plugin_base openstack "$openstack_version")/$(plugin_archive openstack "$openstack_version"),
copy it into a directory on this machine, and run this again with PULUMI_MIRROR=that-directory."
}

get_command() {
    tried=
    plugin_nearby command "$command_version" && return
    # With the stand-in in place, try the download host only once a day: a host that does not answer costs time.
    if [ -z "$(find "$stand_in" -mtime -1 2>/dev/null)" ]; then
        plugin_from_download command "$command_version" && return
        [ ! -e "$stand_in" ] || touch "$stand_in"
    fi
    [ ! -e "$stand_in" ] || return 0
    tools/venv.sh
    directory=$(plugin_dir command "$command_version")
    mkdir -p "$directory"
    install -m 0755 tools/offline/command_provider/pulumi-resource-command "$directory/"
    touch "$stand_in"
    say "pulumi-command $command_version: the stand-in in tools/offline/command_provider, because no source has the real plugin$(
        printf '%s' "$tried" | sed 's/^  - /; /' | tr -d '\n' | sed 's/^;/:/'
    )"
}

# --- install what is missing ----------------------------------------------------------------------------------------

cli_version=$(pinned pulumi)
command_version=$(pinned pulumi-command)
openstack_version=$(pinned pulumi-openstack)

# This file marks the installed command plugin as the stand-in.
stand_in=$(plugin_dir command "$command_version")/STAND-IN

cli_is_there() { [ -r "$cli_dir/VERSION" ] && [ "$(cat "$cli_dir/VERSION")" = "$cli_version" ]; }
command_is_there() { plugin_is_there command "$command_version" && [ ! -e "$stand_in" ]; }
openstack_is_there() { [ "$with_openstack" = no ] || plugin_is_there openstack "$openstack_version"; }

cli_is_there && command_is_there && openstack_is_there && exit

mkdir -p .tools
# One run at a time: a second run waits, and then finds everything installed.
exec 9>.tools/lock
flock 9
work=$root/.tools/work
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
rm -rf "$work"
mkdir -p "$work" "$home"

cli_is_there || get_cli
command_is_there || get_command
openstack_is_there || get_openstack
