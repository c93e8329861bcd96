#!/bin/sh
# Create the project's Python environment, .venv, from requirements.txt, whose digests are verified. Does nothing while
# that file is unchanged. Uses uv if it is on PATH, because it is faster; otherwise python3 -m venv and pip.
set -eu

say() { printf 'venv: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

[ "$#" -eq 0 ] || die "usage: tools/venv.sh"
cd "$(dirname "$0")/.."

# The copy of requirements.txt is written last: it marks the environment as complete.
stamp=.venv/requirements.txt
[ -x .venv/bin/python ] && cmp -s requirements.txt "$stamp" && exit

python=$(command -v python3) || die "python3 is missing. Type: sudo apt install python3 python3-venv"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    die "$python is $("$python" -V 2>&1 | cut -d' ' -f2), but Python 3.10 or later is required. Put one on PATH as python3."

rm -f "$stamp"
# An environment without its Python, or without pip after an interrupted run, is unusable.
if [ -e .venv ] && ! .venv/bin/python -c 'import pip' 2>/dev/null; then
    rm -rf .venv
fi

if command -v uv >/dev/null; then
    say "installing requirements.txt into .venv with uv"
    [ -d .venv ] || uv venv --quiet --python "$python" .venv
    uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements.txt
else
    "$python" -c 'import ensurepip, venv' 2>/dev/null || die "Python's venv module is missing. Type: sudo apt install python3-venv"
    say "installing requirements.txt into .venv with pip"
    [ -d .venv ] || "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
fi
cp requirements.txt "$stamp"
