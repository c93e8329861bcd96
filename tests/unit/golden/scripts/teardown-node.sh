# The teardown of node-1 when it leaves the deployment. Only delete runs it. A host that cannot be reached is left
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
10.0.0.2 ssh-ed25519 AAAAnode1hostkeyAAAAAAAA
END_OF_KEYS
cat >"$work/config" <<'END_OF_CONFIG'
Host leaving
    HostName 10.0.0.2
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
reach '[ -e /usr/local/sbin/heat-scaleout ] || { echo '"'"'node-1 (10.0.0.2) has no /usr/local/sbin/heat-scaleout, as after a reinstallation, and is left as it is: should it come back, Heat runs on; stop it there: systemctl disable --now '"'"'"'"'"'"'"'"'heat-*@*'"'"'"'"'"'"'"'"''"'"' >&2; exit 0; }; heat-scaleout run leave' >"$work/output" 2>&1 <<'END_OF_SCRIPT' &
heat-scaleout-input 4934
# Remove this host from the deployment: stop every process of Heat gracefully, and remove the secrets.
# Start the caretaker's planned timers on this node, and remove all others.
set -eu
timers='  '

# A running timer takes new times from its file by this. A restarted timer might elapse at once.
systemctl daemon-reload
for file in /etc/systemd/system/heat-caretaker@*.timer; do
    timer=$(basename "$file")
    case "$timers" in *" $timer "*) continue ;; esac
    [ -e "$file" ] || continue
    systemctl --quiet disable --now "$timer"
    rm -f "$file"
    echo "stopped $timer"
done
# Stop all processes of this node that are not planned. Each completes its work first.
set -eu
# stacks_in_work UNIT NAME: the stacks that an engine works on, one on each line.
stacks_in_work() {
    /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/engine_work.py "$2" "/etc/heat/processes/$1/heat.conf" "/etc/heat/processes/$1/secrets.conf" 2>&1
}

# stop_gracefully UNIT NAME SECONDS: stop an engine when its work is done, never before. If that takes longer, list its
# stacks and fail. The engine continues until its work is done.
stop_gracefully() {
    dropin=/run/systemd/system/$1.service.d/finish.conf
    mkdir -p "${dropin%/*}"
    printf '[Service]\nTimeoutStopSec=infinity\n' >"$dropin"
    systemctl daemon-reload
    systemctl --no-block stop "$1"
    deadline=$(($(date +%s) + $3))
    until case "$(systemctl is-active "$1")" in inactive | failed) true ;; *) false ;; esac; do
        if [ "$(date +%s)" -ge "$deadline" ]; then
            {
                echo "$1 on node-1 (10.0.0.2) did not stop within $3 s. It accepts no new work and exits when these stacks finish:"
                stacks_in_work "$1" "$2" | sed 's/^/  /'
                echo "Type pulumi up again then, or allow more time: pulumi config set --path timeouts.engineGraceful"
            } >&2
            return 1
        fi
        sleep 0.2
    done
    rm -rf "${dropin%/*}"
    systemctl daemon-reload
}
# remove_unit UNIT: stop a process for good, and remove its unit and its files.
remove_unit() {
    systemctl --quiet disable --now "$1"
    systemctl reset-failed "$1" 2>/dev/null || true
    rm -rf "/etc/heat/processes/$1.conf" "/etc/heat/processes/$1" "/etc/systemd/system/$1.service" "/run/heat-scaleout/$1"
    systemctl daemon-reload
}

# wait_idle UNIT NAME SECONDS: wait until a legacy engine (templates/heat/legacy_engine.inc.sh) has no work left. As long
# as a stack that was begun on its vhost is in progress, the rest of the stack's work comes there.
wait_idle() {
    deadline=$(($(date +%s) + $3))
    idle=0
    while [ "$idle" -lt 3 ]; do
        stacks=$(stacks_in_work "$1" "$2")
        if [ -z "$stacks" ]; then idle=$((idle + 1)); else idle=0; fi
        if [ "$(date +%s)" -ge "$deadline" ] && [ -n "$stacks" ]; then
            {
                echo "All other processes on node-1 use the new vhost. $1 still serves the previous vhost for these stacks:"
                echo "$stacks" | sed 's/^/  /'
                echo "Type pulumi up again when they are done."
            } >&2
            return 1
        fi
        sleep 1
    done
}

planned='  '

# Units that run, units that would run after a reboot, and their files: if one of these is lost, the others still count.
{
    systemctl list-units --all --plain --no-legend --type service 'heat-engine@*' 'heat-api@*' 'heat-api-cfn@*' | cut -d ' ' -f 1
    for file in /etc/systemd/system/multi-user.target.wants/heat-*@*.service; do basename "$file"; done
    for file in /etc/heat/processes/heat-*@*.conf; do basename "$file"; done
} | sed -n 's/^\(heat-\(engine\|api\|api-cfn\)@[0-9]*\)\.\(service\|conf\)$/\1/p' | sort -u | while read -r unit; do
    case "$planned" in *" $unit "*) continue ;; esac
    case "$unit" in
    heat-engine@*)
        name=node-1-heat-engine-${unit#*@}
        case "$unit" in heat-engine@????*) wait_idle "$unit" "$name" 60 || exit 1 ;; esac
        stop_gracefully "$unit" "$name" 60 || exit 1
        ;;
    *)
        # The proxy sends it no new requests, but earlier ones may still be in progress.
        deadline=$(($(date +%s) + 75))
        while [ -n "$(ss -Htn state established "sport = :${unit#*@}")" ] && [ "$(date +%s)" -lt "$deadline" ]; do sleep 0.2; done
        ;;
    esac
    remove_unit "$unit"
    echo "stopped $unit"
done
if [ -f /etc/heat/secrets.conf ] && [ -f /usr/local/lib/heat-scaleout/members.py ]; then
    /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/members.py leave node-1 -- /etc/heat/heat.conf /etc/heat/secrets.conf ||
        echo "The broker still lists node-1 as a node of the deployment." >&2
fi
rm -rf /etc/heat/secrets.conf /etc/heat/adopted
# Open the ports to every client again.
systemctl --quiet disable --now heat-scaleout-firewall.service 2>/dev/null || true
rm -rf /etc/systemd/system/heat-scaleout-firewall.service /etc/heat-scaleout
systemctl daemon-reload

END_OF_SCRIPT
# In the background, because a trap waits for a command in the foreground.
login=$!
wait "$login" || status=$?
login=
cat "$work/output" >&2
# Exit status 255 is ssh's own: no connection, another host key, or no login.
[ "$status" != 255 ] || { echo 'node-1 (10.0.0.2) is left as it is: should it come back, Heat runs on; stop it there: systemctl disable --now '"'"'heat-*@*'"'"'' >&2; exit 0; }
exit "$status"
