# The teardown of front when it leaves the deployment. Only delete runs it. A host that cannot be reached is left
# unchanged: a dead host must not block the deletion of anything else.
set -eu
[ "$1" = delete ] || exit 0
command -v ssh >/dev/null || { echo "ssh is missing: apt install openssh-client" >&2; exit 1; }

umask 077
work=$(mktemp -d)
login=
# shellcheck disable=SC2329 # the trap calls it
end() {
    [ -z "$login" ] || kill "$login" 2>/dev/null || true
    [ ! -s "$work/agent" ] || kill "$(cat "$work/agent")" 2>/dev/null || true
    rm -rf "$work"
}
# dash runs no EXIT trap when a signal ends it.
trap end EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
cat >"$work/known" <<'END_OF_KEYS'
10.0.0.1 ssh-ed25519 AAAAfronthostkeyAAAAAAAA
END_OF_KEYS
cat >"$work/config" <<'END_OF_CONFIG'
Host leaving
    HostName 10.0.0.1
    Port 22
    User root
Host *
    BatchMode yes
    ConnectTimeout 10
    ServerAliveInterval 15
    StrictHostKeyChecking yes
    GlobalKnownHostsFile /dev/null
    LogLevel ERROR
END_OF_CONFIG
echo "    UserKnownHostsFile $work/known" >>"$work/config"

# reach COMMAND: log in and run COMMAND. A private key goes to an ssh agent for this login, and to no disk. The agent
# ends with this script. If the script is killed, the agent notices within seconds that the login has ended.
reach() {
    [ -n "${PRIVATE_KEY-}" ] || exec ssh -F "$work/config" leaving "$1"
    printf '    IdentityFile none\n    IdentityAgent SSH_AUTH_SOCK\n' >>"$work/config"
    # shellcheck disable=SC2016 # the inner shell's
    exec ssh-agent sh -c '
        echo "$SSH_AGENT_PID" >"$1/agent"
        printf "%s\n" "$PRIVATE_KEY" | SSH_ASKPASS_REQUIRE=never ssh-add -q -t 120 - || exit 255
        unset PRIVATE_KEY
        exec ssh -F "$1/config" leaving "$2"' sh "$work" "$1"
}

status=0
reach '[ -e /usr/local/sbin/heat-scaleout ] || { echo '"'"'front (10.0.0.1) has no /usr/local/sbin/heat-scaleout, as after a reinstallation, and is left as it is: when it comes back, node-1 may connect until the next boot. To end that, type there: systemctl reload heat-scaleout-firewall'"'"' >&2; exit 0; }; heat-scaleout run forget-node-1' >"$work/output" 2>&1 <<'END_OF_SCRIPT' &
heat-scaleout-input 197
# The teardown of node-1 is done. It may not connect any longer.
set -eu
if systemctl --quiet is-active heat-scaleout-firewall.service; then
    systemctl reload heat-scaleout-firewall.service
fi

END_OF_SCRIPT
# In the background, because a trap waits for a command in the foreground.
login=$!
wait "$login" || status=$?
login=
cat "$work/output" >&2
# Exit status 255 is ssh's own: no connection, another host key, or no login.
[ "$status" != 255 ] || { echo 'front (10.0.0.1) is left as it is: when it comes back, node-1 may connect until the next boot. To end that, type there: systemctl reload heat-scaleout-firewall' >&2; exit 0; }
exit "$status"
