#!/bin/sh
# Makes the project's Python environment, .venv, from requirements.txt, whose digests are verified; does nothing while that
# file is unchanged.
# uv does it where it is on PATH, because it is faster; python3 -m venv and pip do it everywhere else.
set -eu

say() { printf 'venv: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

[ "$#" -eq 0 ] || die "usage: tools/venv.sh"
cd "$(dirname "$0")/.."

# The copy of requirements.txt is written last, so it says that the environment is complete.
stamp=.venv/requirements.txt
[ -x .venv/bin/python ] && cmp -s requirements.txt "$stamp" && exit

python=$(command -v python3) || die "python3 is missing. Run: sudo apt install python3 python3-venv"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    die "$python is $("$python" -V 2>&1 | cut -d' ' -f2), but Python 3.10 or newer is needed. Put one on PATH as python3."

rm -f "$stamp"
# An environment whose Python has gone, or that an interrupted run left without pip, is of no use.
if [ -e .venv ] && ! .venv/bin/python -c 'import pip' 2>/dev/null; then
    rm -rf .venv
fi

if command -v uv >/dev/null; then
    say "installing requirements.txt into .venv with uv"
    [ -d .venv ] || uv venv --quiet --python "$python" .venv
    uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements.txt
else
    "$python" -c 'import ensurepip, venv' 2>/dev/null || die "Python's venv module is missing. Run: sudo apt install python3-venv"
    say "installing requirements.txt into .venv with pip"
    [ -d .venv ] || "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
fi
cp requirements.txt "$stamp"
