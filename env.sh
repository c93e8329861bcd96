# shellcheck shell=sh
# Source this in the project's directory: . ./env.sh
# Then plain `pulumi …` works on the dev stack, or on the stack named by STACK. What you have set yourself stays: where the
# state is (PULUMI_BACKEND_URL), what secrets are encrypted with (PULUMI_CONFIG_PASSPHRASE, PULUMI_CONFIG_PASSPHRASE_FILE),
# the stack (PULUMI_STACK), and your login (PULUMI_HOME, PULUMI_CREDENTIALS_PATH, PULUMI_ACCESS_TOKEN). See docs/state.md.
[ -f Pulumi.yaml ] || { echo "env.sh: source it in the directory of the project, where Pulumi.yaml is" >&2; return 1; }

# Each variable that is set here is kept a second time, as HEAT_SCALEOUT_<its name>: one that has another value now was set
# by the operator, and one that has the same value is of an earlier env.sh, perhaps of another checkout.
_theirs() {
    eval "[ -n \"\${$1-}\" ] && [ \"\${$1-}\" != \"\${HEAT_SCALEOUT_$1-}\" ]"
}
_ours() { # NAME VALUE
    eval "$1=\$2 HEAT_SCALEOUT_$1=\$2"
    export "${1?}" "HEAT_SCALEOUT_$1"
}
_none() { # NAME
    unset "$1" "HEAT_SCALEOUT_$1"
}

# The plugins are in a home of this checkout's. A login is where it was made.
if ! _theirs PULUMI_CREDENTIALS_PATH; then
    if _theirs PULUMI_HOME; then _ours PULUMI_CREDENTIALS_PATH "$PULUMI_HOME"; fi
fi
_ours PULUMI_HOME "$PWD/.tools/pulumi-home"

# `pulumi login` leaves the address that it logged in to.
HEAT_SCALEOUT_LOGIN=$(sed -n 's/.*"current": *"\([^"]\{1,\}\)".*/\1/p' \
    "${PULUMI_CREDENTIALS_PATH:-$PULUMI_HOME}/credentials.json" 2>/dev/null) || true
if ! _theirs PULUMI_BACKEND_URL; then
    if [ -n "$HEAT_SCALEOUT_LOGIN" ]; then _none PULUMI_BACKEND_URL; else _ours PULUMI_BACKEND_URL "file://$PWD/.state"; fi
fi
# The passphrase beside the state is for the state beside it.
if ! _theirs PULUMI_CONFIG_PASSPHRASE_FILE; then
    if [ "${PULUMI_BACKEND_URL-}" = "file://$PWD/.state" ] && [ -z "${PULUMI_CONFIG_PASSPHRASE+set}" ]; then
        _ours PULUMI_CONFIG_PASSPHRASE_FILE "$PWD/.state/passphrase"
    else
        _none PULUMI_CONFIG_PASSPHRASE_FILE
    fi
fi
if [ -n "${STACK-}" ]; then
    _ours PULUMI_STACK "$STACK"
elif ! _theirs PULUMI_STACK; then
    _ours PULUMI_STACK dev
fi

# The stack's own salt is in its state: Pulumi.dev.yaml stays as it was committed.
PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER=true
PULUMI_SKIP_UPDATE_CHECK=true
PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true
export PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER PULUMI_SKIP_UPDATE_CHECK PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION

# This checkout's programs come first, and those of a checkout before it go.
if [ -n "${HEAT_SCALEOUT_PATH-}" ]; then
    case "$PATH" in *"$HEAT_SCALEOUT_PATH"*) PATH=${PATH%%"$HEAT_SCALEOUT_PATH"*}${PATH#*"$HEAT_SCALEOUT_PATH"} ;; esac
fi
HEAT_SCALEOUT_PATH=$PWD/.venv/bin:$PWD/.tools/pulumi:
PATH=$HEAT_SCALEOUT_PATH$PATH
export HEAT_SCALEOUT_PATH PATH

# An agent that is gone would fail every login, even one with a key.
if [ -n "${SSH_AUTH_SOCK-}" ] && [ ! -S "$SSH_AUTH_SOCK" ]; then unset SSH_AUTH_SOCK; fi
# gRPC, between Pulumi and its plugins, is on loopback: a proxy for the rest of the world has no part in it.
case ",${NO_PROXY-}," in
*,127.0.0.1,localhost,*) ;;
*) NO_PROXY=${NO_PROXY:+$NO_PROXY,}127.0.0.1,localhost ;;
esac
export NO_PROXY
unset -f _theirs _ours _none
