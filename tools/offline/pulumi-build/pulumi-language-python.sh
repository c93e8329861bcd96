#!/bin/sh
# Starts the Python language host that was built from its Go module, with the project's virtual environment: the CLI
# has other means than this flag to name it to a host of its own version.
here=$(cd "$(dirname "$0")" && pwd)
exec "$here/pulumi-language-python-host" -virtualenv="$here/../../.venv" "$@"
