#!/bin/sh
# Test `hosts: openstack` against a real API: what `make e2e-openstack` runs. The cloud is the lab's (`make cloud`), which
# this starts if necessary and keeps. The stack is the run's own and is removed at the end, even after a failure.
set -eu
cd "$(dirname "$0")/../.."
STACK=e2e-openstack
export STACK
# shellcheck source=env.sh
. ./env.sh
# shellcheck source=tests/e2e/own.inc.sh
. tests/e2e/own.inc.sh

tools/toolchain.sh --openstack || {
    echo "SKIPPED: make e2e-openstack has tested nothing, because no source has the pulumi-openstack plugin" >&2
    exit 0
}
only_one "$STACK"
tools/lab/up.sh 9>&-

# Only this suite uses the lab's project: everything in it is a leftover of a killed run.
sweep() {
    .venv/bin/python -m tools.lab.contents clear --clouds .state/cloud/clouds.yaml 9>&-
    if [ -d .state/.pulumi ]; then
        pulumi cancel --yes --stack "$STACK" >/dev/null 2>&1 || true
        pulumi stack rm --yes --force "$STACK" >/dev/null 2>&1 || true
        # The stack of another program: tests/openstack/test_balancer.py.
        pulumi --cwd tests/openstack/balancer stack rm --yes --force "$STACK-balancer" >/dev/null 2>&1 || true
    fi
    rm -f "tests/openstack/balancer/Pulumi.$STACK-balancer.yaml"
    rm -rf "Pulumi.$STACK.yaml" ".state/$STACK"
}

sweep
trap sweep EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
OS_CLIENT_CONFIG_FILE=$PWD/.state/cloud/clouds.yaml
export OS_CLIENT_CONFIG_FILE
tools/new-stack.sh "$STACK" 9>&-
# shellcheck source=tools/lab/lab.inc.sh
. tools/lab/lab.inc.sh
pulumi config set hosts openstack 9>&-
pulumi config set protect false 9>&-
# A subnet inside the cloud; the machine has no route to it.
pulumi config set subnet 10.213.92.0/24 9>&-
pulumi config set --path openstack.cloud lab 9>&-
pulumi config set --path openstack.frontFlavor heat.front 9>&-
pulumi config set --path openstack.nodeFlavor heat.node 9>&-
pulumi config set --path 'openstack.sshFrom[0]' "$subnet" 9>&-
.venv/bin/python -m pytest -p no:cacheprovider -v --tb=short tests/openstack "$@" 9>&-
