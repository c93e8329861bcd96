# Engines with different versions of their messages must not share a vhost of the broker, not even while one replaces the
# other: an engine that fetches a message of another version loses it. The file that names the vhost: 403680b9eb4de6e7b65731d9f18e4d1f21331a8668a7a3f23ff840f7e7136c66
set -eu
# broker SECRETS: the broker and vhost of an engine that reads this file. Another login leads to the same queues.
broker() {
    sed -n 's/^transport_url *= *//p' "$1" | tail -n 1 | sed 's|[^/,@]*@||g'
}
mixed=
for unit in $(systemctl list-units --plain --no-legend --state=active 'heat-engine@*' | sed 's/\.service .*//'); do
    [ "$(broker "/etc/heat/processes/$unit/secrets.conf")" = "$(broker /etc/heat/secrets.conf)" ] || continue
    prefix=$(sed -n 's|^ExecStart=\(/opt/heat/[^/]*\)/.*|\1|p' "/etc/systemd/system/$unit.service")
    [ "$prefix" != /opt/heat/27.0.1 ] || continue
    report=$("$prefix/bin/python" /usr/local/lib/heat-scaleout/installed.py "$prefix/options.json")
    running_version=$(echo "$report" | sed -n 's/.*"engine_worker": "\([^"]*\)".*/\1/p')
    [ "$running_version" = 1.9 ] || mixed="$mixed $unit ($prefix, version $running_version)"
done
if [ -n "$mixed" ]; then
    echo "node-1 runs$mixed on the vhost planned for engines of /opt/heat/27.0.1 (version 1.9). Engines of different versions lose each other's messages, and their stacks stay in progress. "'Make another vhost at the broker. Then type: pulumi config set --secret transportUrl, and at its prompt the URL with that vhost.' >&2
    exit 1
fi
