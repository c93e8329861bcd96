#!/bin/sh
# Draw the plots of a report that `make bench REPORT=FILE` has written, as SVG. The plotting library has an environment of
# its own, .venv-plot, which is made here at the first time: nothing else needs it.
#
#   tests/bench/plot.sh REPORT DIR
#   tests/bench/plot.sh --prepare     only make the environment
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
