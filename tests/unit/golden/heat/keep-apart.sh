# Engines that do not understand one another are not on one vhost of the broker, not even while one replaces the other:
# what the one sends and the other fetches is lost. The file that names the vhost: 02c8c875e57d4e5b716e524fb0bc5366923e525872310ff8e1557041b2aee9b5
set -eu
# broker SECRETS: where an engine that reads this file is connected. Another login leads to the same queues.
broker() {
    sed -n 's/^transport_url *= *//p' "$1" | tail -n 1 | sed 's|[^/,@]*@||g'
}
mixed=
for unit in $(systemctl list-units --plain --no-legend --state=active 'heat-engine@*' | sed 's/\.service .*//'); do
    [ "$(broker "/etc/heat/processes/$unit/secrets.conf")" = "$(broker /etc/heat/secrets.conf)" ] || continue
    prefix=$(sed -n 's|^ExecStart=\(/opt/heat/[^/]*\)/.*|\1|p' "/etc/systemd/system/$unit.service")
    [ "$prefix" != /opt/heat/27.0.1 ] || continue
    told=$("$prefix/bin/python" /usr/local/lib/heat-scaleout/installed.py "$prefix/options.json")
    spoken=$(echo "$told" | sed -n 's/.*"engine_worker": "\([^"]*\)".*/\1/p')
    [ "$spoken" = 1.9 ] || mixed="$mixed $unit ($prefix, messages $spoken)"
done
if [ -n "$mixed" ]; then
    echo "on node-1 run$mixed, on the vhost where engines of /opt/heat/27.0.1 (messages 1.9) are to be. They would lose each other's messages, and with them the stacks that they work on. Make another vhost at the broker, then type: pulumi config set --secret transportUrl, and at its prompt the URL with that vhost" >&2
    exit 1
fi
