# shellcheck shell=sh
# Source this in the project's directory: . ./env.sh
# Then plain `pulumi …` works on the dev stack, or on the stack named by STACK. Variables that you have set yourself stay:
# the backend (PULUMI_BACKEND_URL), the passphrase (PULUMI_CONFIG_PASSPHRASE, PULUMI_CONFIG_PASSPHRASE_FILE), the stack
# (PULUMI_STACK), and your login (PULUMI_HOME, PULUMI_CREDENTIALS_PATH, PULUMI_ACCESS_TOKEN). See docs/state.md.
[ -f Pulumi.yaml ] || { echo "env.sh: source it in the directory of the project, which has Pulumi.yaml" >&2; return 1; }

# Each variable that this script sets is also stored as HEAT_SCALEOUT_<its name>. If the two differ, the operator has set
# the variable; if they are equal, an earlier env.sh has, perhaps that of another checkout.
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

# The plugins are in this checkout's own Pulumi home. A login stays where it was made.
if ! _theirs PULUMI_CREDENTIALS_PATH; then
    if _theirs PULUMI_HOME; then _ours PULUMI_CREDENTIALS_PATH "$PULUMI_HOME"; fi
fi
_ours PULUMI_HOME "$PWD/.tools/pulumi-home"

# `pulumi login` stores the backend's URL.
HEAT_SCALEOUT_LOGIN=$(sed -n 's/.*"current": *"\([^"]\{1,\}\)".*/\1/p' \
    "${PULUMI_CREDENTIALS_PATH:-$PULUMI_HOME}/credentials.json" 2>/dev/null) || true
if ! _theirs PULUMI_BACKEND_URL; then
    if [ -n "$HEAT_SCALEOUT_LOGIN" ]; then _none PULUMI_BACKEND_URL; else _ours PULUMI_BACKEND_URL "file://$PWD/.state"; fi
fi
# The passphrase in .state is for the state in .state only.
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

# The salt is in the stack's state: Pulumi.dev.yaml stays as committed.
PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER=true
PULUMI_SKIP_UPDATE_CHECK=true
PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true
export PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER PULUMI_SKIP_UPDATE_CHECK PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION

# This checkout's programs come first on PATH; those of an earlier checkout are removed from it.
if [ -n "${HEAT_SCALEOUT_PATH-}" ]; then
    case "$PATH" in *"$HEAT_SCALEOUT_PATH"*) PATH=${PATH%%"$HEAT_SCALEOUT_PATH"*}${PATH#*"$HEAT_SCALEOUT_PATH"} ;; esac
fi
HEAT_SCALEOUT_PATH=$PWD/.venv/bin:$PWD/.tools/pulumi:
PATH=$HEAT_SCALEOUT_PATH$PATH
export HEAT_SCALEOUT_PATH PATH

# The address of a dead agent would make every login fail, even one with a key.
if [ -n "${SSH_AUTH_SOCK-}" ] && [ ! -S "$SSH_AUTH_SOCK" ]; then unset SSH_AUTH_SOCK; fi
# Pulumi and its plugins talk gRPC on loopback, which must not go through a proxy.
case ",${NO_PROXY-}," in
*,127.0.0.1,localhost,*) ;;
*) NO_PROXY=${NO_PROXY:+$NO_PROXY,}127.0.0.1,localhost ;;
esac
export NO_PROXY
unset -f _theirs _ours _none
