# Stop what the plan for this node does not list. Each process ends what it has begun.
# The processes of the plan are at rabbit://10.0.0.1:5672/heat.
set -eu
# at_work UNIT NAME: the stacks that an engine has work of in hand, one on each line.
at_work() {
    /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/engine_work.py "$2" "/etc/heat/processes/$1/heat.conf" "/etc/heat/processes/$1/secrets.conf" 2>&1
}

# finish UNIT NAME SECONDS: stop an engine when it has done what it has in hand, and never before. Where that takes
# longer, it says which stacks it is at, and fails; the engine goes on until it has done it.
finish() {
    dropin=/run/systemd/system/$1.service.d/finish.conf
    mkdir -p "${dropin%/*}"
    printf '[Service]\nTimeoutStopSec=infinity\n' >"$dropin"
    systemctl daemon-reload
    systemctl --no-block stop "$1"
    deadline=$(($(date +%s) + $3))
    until case "$(systemctl is-active "$1")" in inactive | failed) true ;; *) false ;; esac; do
        if [ "$(date +%s)" -ge "$deadline" ]; then
            {
                echo "$1 on node-1 (10.0.0.2) has had $3 s to do what it has in hand, and has not stopped yet."
                echo "It goes on with it and takes up nothing else; nothing is cut off. It is at these stacks:"
                at_work "$1" "$2" | sed 's/^/  /'
                echo "Type pulumi up again when it is done, or give it more: pulumi config set --path timeouts.engineGraceful"
            } >&2
            return 1
        fi
        sleep 0.2
    done
    rm -rf "${dropin%/*}"
    systemctl daemon-reload
}
# forget UNIT: stop a process for good, and leave nothing of it.
forget() {
    systemctl --quiet disable --now "$1"
    systemctl reset-failed "$1" 2>/dev/null || true
    rm -rf "/etc/heat/processes/$1.conf" "/etc/heat/processes/$1" "/etc/systemd/system/$1.service" "/run/heat-scaleout/$1"
    systemctl daemon-reload
}

# settle UNIT NAME SECONDS: wait until a stand-in (templates/heat/stand_in.inc.sh) has nothing in hand any more. While a
# stack is under way that was begun on its vhost, the rest of it comes there.
settle() {
    deadline=$(($(date +%s) + $3))
    idle=0
    while [ "$idle" -lt 3 ]; do
        stacks=$(at_work "$1" "$2")
        if [ -z "$stacks" ]; then idle=$((idle + 1)); else idle=0; fi
        if [ "$(date +%s)" -ge "$deadline" ] && [ -n "$stacks" ]; then
            {
                echo "All of Heat on node-1 has gone over. $1 remains as it was for these stacks; type pulumi up again when they are done:"
                echo "$stacks" | sed 's/^/  /'
            } >&2
            return 1
        fi
        sleep 1
    done
}

planned=' heat-engine@1 heat-api@8004 heat-api-cfn@8000 '

# Units that run, units that would run after a reboot, and their files: a lost one of these must not hide the others.
{
    systemctl list-units --all --plain --no-legend --type service 'heat-engine@*' 'heat-api@*' 'heat-api-cfn@*' | cut -d ' ' -f 1
    for file in /etc/systemd/system/multi-user.target.wants/heat-*@*.service; do basename "$file"; done
    for file in /etc/heat/processes/heat-*@*.conf; do basename "$file"; done
} | sed -n 's/^\(heat-\(engine\|api\|api-cfn\)@[0-9]*\)\.\(service\|conf\)$/\1/p' | sort -u | while read -r unit; do
    case "$planned" in *" $unit "*) continue ;; esac
    case "$unit" in
    heat-engine@*)
        name=node-1-heat-engine-${unit#*@}
        case "$unit" in heat-engine@????*) settle "$unit" "$name" 60 || exit 1 ;; esac
        finish "$unit" "$name" 60 || exit 1
        ;;
    *)
        # It has left the proxy, which may still have requests under way there.
        deadline=$(($(date +%s) + 75))
        while [ -n "$(ss -Htn state established "sport = :${unit#*@}")" ] && [ "$(date +%s)" -lt "$deadline" ]; do sleep 0.2; done
        ;;
    esac
    forget "$unit"
    echo "stopped $unit"
done

# The firewall has kept what was left from before: 4503a1a6e564660083ed475d92205432688870efcf4fb7ec85c8a6d23a46a708
systemctl reload-or-restart heat-scaleout-firewall.service
