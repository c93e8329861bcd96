# Stop all processes of this node that are not planned. Each completes its work first.
# The planned processes use the broker rabbit://10.0.0.1:5672/heat.
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

planned=' heat-engine@1 heat-api@8004 heat-api-cfn@8000 '

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

# The firewall kept the ports of earlier processes open until now: e6e26ad564d128befefe7ae3e2e8fd0f5daa561f284c29e2c020825a1fb2d42a
systemctl reload-or-restart heat-scaleout-firewall.service
