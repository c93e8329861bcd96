# Stop what the plan for this node does not list. Each process ends what it has begun.
set -eu
planned=' heat-engine@1 heat-api@8004 heat-api-cfn@8000 '

# Units that run, units that would run after a reboot, and their files: a lost one of these must not hide the others.
{
    systemctl list-units --all --plain --no-legend --type service 'heat-engine@*' 'heat-api@*' 'heat-api-cfn@*' | cut -d ' ' -f 1
    for file in /etc/systemd/system/multi-user.target.wants/heat-*@*.service; do basename "$file"; done
    for file in /etc/heat/processes/heat-*@*.conf; do basename "$file"; done
} | sed -n 's/^\(heat-\(engine\|api\|api-cfn\)@[0-9]*\)\.\(service\|conf\)$/\1/p' | sort -u | while read -r unit; do
    case "$planned" in *" $unit "*) continue ;; esac
    # An API has left the proxy, which may still have requests under way there.
    deadline=$(($(date +%s) + 75))
    case "$unit" in
    heat-api*)
        while [ -n "$(ss -Htn state established "sport = :${unit#*@}")" ] && [ "$(date +%s)" -lt "$deadline" ]; do sleep 0.2; done
        ;;
    esac
    systemctl --quiet disable --now "$unit"
    systemctl reset-failed "$unit" 2>/dev/null || true
    rm -rf "/etc/heat/processes/$unit.conf" "/etc/heat/processes/$unit" "/etc/systemd/system/$unit.service"
    echo "stopped $unit"
done
systemctl daemon-reload
