# Releases of Heat whose engines do not understand one another are on vhosts of their own at the broker, and so are the
# APIs that ask them. While a deployment goes over from one to the other, each node that had engines on the old vhost
# keeps one there, as it was: a stand-in, for the APIs whose turn has not come and for the stacks that were begun there.

{% include "heat/broker.inc.sh" %}

# stand_in UNIT SECONDS: have an engine with UNIT's copies run beside it, and print its unit where it has not been
# there before. It is called by a number that stands for its vhost.
stand_in() {
    other=heat-engine@$((1000 + $(broker "/etc/heat/processes/$1/secrets.conf" | cksum | cut -d ' ' -f 1) % 9000))
    if systemctl is-active --quiet "$other"; then return; fi
    cp -a "/etc/heat/processes/$1/." "/etc/heat/processes/$other.new"
    rm -rf "/etc/heat/processes/$other" "/etc/heat/processes/$other.new/before"
    sed -i "s/^host *=.*/host = {{ node }}-heat-engine-${other#*@}/" "/etc/heat/processes/$other.new/process.conf"
    mv "/etc/heat/processes/$other.new" "/etc/heat/processes/$other"
    cp -p "/etc/systemd/system/$1.service" "/etc/systemd/system/$other.service"
    systemctl daemon-reload
    systemctl --quiet enable "$other"
    systemctl restart "$other" || unwell "$other" "systemd could not start it"
    # How many workers it has is up to what it was.
    told=$({{ prefix }}/bin/python {{ consumers }} "$2" "/etc/heat/processes/$other/heat.conf" "/etc/heat/processes/$other/secrets.conf" -- "engine.{{ node }}-heat-engine-${other#*@}=1+" 2>&1) ||
        unwell "$other" "$told"
    echo "$other"
}
