# Releases of Heat whose engines do not understand each other have separate vhosts at the broker, and so have the APIs
# that call them. During an upgrade each node that had engines on the old vhost keeps one there with its old files, the
# legacy engine: for the APIs that are not restarted yet, and for the stacks that were begun there.

{% include "heat/broker.inc.sh" %}

# start_legacy_engine UNIT SECONDS: run an engine with copies of UNIT's files. Print its unit if it did not run before.
# Its number stands for its vhost.
start_legacy_engine() {
    legacy_unit=heat-engine@$((1000 + $(broker "/etc/heat/processes/$1/secrets.conf" | cksum | cut -d ' ' -f 1) % 9000))
    if systemctl is-active --quiet "$legacy_unit"; then return; fi
    cp -a "/etc/heat/processes/$1/." "/etc/heat/processes/$legacy_unit.new"
    rm -rf "/etc/heat/processes/$legacy_unit" "/etc/heat/processes/$legacy_unit.new/before"
    sed -i "s/^host *=.*/host = {{ node }}-heat-engine-${legacy_unit#*@}/" "/etc/heat/processes/$legacy_unit.new/process.conf"
    mv "/etc/heat/processes/$legacy_unit.new" "/etc/heat/processes/$legacy_unit"
    cp -p "/etc/systemd/system/$1.service" "/etc/systemd/system/$legacy_unit.service"
    systemctl daemon-reload
    systemctl --quiet enable "$legacy_unit"
    systemctl restart "$legacy_unit" || fail_unhealthy "$legacy_unit" "systemd could not start it"
    # Its number of workers is in its old files, and not known here.
    output=$({{ prefix }}/bin/python {{ consumers }} "$2" "/etc/heat/processes/$legacy_unit/heat.conf" "/etc/heat/processes/$legacy_unit/secrets.conf" -- "engine.{{ node }}-heat-engine-${legacy_unit#*@}=1+" 2>&1) ||
        fail_unhealthy "$legacy_unit" "$output"
    echo "$legacy_unit"
}
