#!/bin/sh
# Draw the plots of a report of `make bench REPORT=FILE`, as SVG. The plotting library has its own environment, .venv-plot,
# which the first run creates: nothing else needs the library.
#
#   tests/bench/plot.sh REPORT DIR
#   tests/bench/plot.sh --prepare     only create the environment
set -eu
cd "$(dirname "$0")/../.."
list=locks/plot.txt
stamp=.venv-plot/requirements.txt
if ! cmp -s "$list" "$stamp"; then
    echo "bench: installing $list into .venv-plot" >&2
    rm -rf .venv-plot
    if command -v uv >/dev/null; then
        uv venv --quiet --python "$(command -v python3)" .venv-plot
        uv pip install --quiet --python .venv-plot/bin/python --require-hashes -r "$list"
    else
        python3 -m venv .venv-plot
        .venv-plot/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$list"
    fi
    cp "$list" "$stamp"
fi
[ "$1" = --prepare ] || exec .venv-plot/bin/python -m tests.bench.plot "$1" "$2"
