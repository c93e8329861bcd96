# shellcheck shell=sh
# Source this in the project's directory: . ./env.sh
# Then plain `pulumi …` works on the dev stack, or on the stack named by STACK.
[ -f Pulumi.yaml ] || { echo "env.sh: source it in the directory of the project, where Pulumi.yaml is" >&2; return 1; }

PULUMI_HOME=$PWD/.tools/pulumi-home
PULUMI_BACKEND_URL=file://$PWD/.state
PULUMI_CONFIG_PASSPHRASE_FILE=$PWD/.state/passphrase
# The stack's own salt is in its state: Pulumi.dev.yaml stays as it was committed.
PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER=true
PULUMI_SKIP_UPDATE_CHECK=true
PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true
PULUMI_STACK=${STACK:-dev}
export PULUMI_HOME PULUMI_BACKEND_URL PULUMI_CONFIG_PASSPHRASE_FILE PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER \
    PULUMI_SKIP_UPDATE_CHECK PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION PULUMI_STACK

case ":$PATH:" in
*":$PWD/.tools/pulumi:"*) ;;
*) PATH=$PWD/.venv/bin:$PWD/.tools/pulumi:$PATH && export PATH ;;
esac

# An agent that is gone would fail every login, even one with a key.
if [ -n "${SSH_AUTH_SOCK-}" ] && [ ! -S "$SSH_AUTH_SOCK" ]; then unset SSH_AUTH_SOCK; fi
# gRPC, between Pulumi and its plugins, is on loopback: a proxy for the rest of the world has no part in it.
NO_PROXY=${NO_PROXY:+$NO_PROXY,}127.0.0.1,localhost
export NO_PROXY
