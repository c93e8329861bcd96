# Run heat-engine@1: start it when it is not running, restart it when a file has changed since it was started, and see
# that it works. One that runs what it should is not touched.
# Its files: 950c7c94ead03db7fdb7e811a75a0cfd0a22fa342da5d3768bfc663cadcb4279
set -eu
# well UNIT NAME PORT SECONDS: wait until a process does its work, or say which one does not, with its log. PORT is
# empty for an engine: it works when the broker counts all of its workers on its own queue, engine.NAME.
well() {
    unit=$1 name=$2 port=$3 seconds=$4
    if [ -z "$port" ]; then
        told=$(/opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/broker_consumers.py "$seconds" /etc/heat/heat.conf /etc/heat/secrets.conf -- "engine.$name=1" 2>&1) ||
            unwell "$unit" "$told"
        return
    fi
    url=http://10.0.0.2:$port/healthcheck
    deadline=$(($(date +%s) + seconds))
    until [ "$(curl --silent --max-time 5 --noproxy '*' --output /dev/null --write-out '%{http_code}' "$url")" = 200 ]; do
        if systemctl is-failed --quiet "$unit"; then unwell "$unit" "it has failed"; fi
        [ "$(date +%s)" -lt "$deadline" ] || unwell "$unit" "no answer from $url for $seconds s"
        sleep 0.3
    done
}

unwell() {
    {
        echo "$1 on node-1 (10.0.0.2) does not work: $2"
        echo "The last lines of its log (journalctl -u $1):"
        # Heat names each of its 300 resource types at every start.
        journalctl --unit "$1" --lines 500 --no-pager --output cat | grep -v ' heat.engine.environment .* Registered: ' | tail -n 25
    } >&2
    exit 1
}
unit=heat-engine@1


systemctl daemon-reload
systemctl is-enabled --quiet "$unit" || systemctl --quiet enable "$unit"
# The unit's start leaves the digests of what it read.
if ! { systemctl is-active --quiet "$unit" && sha256sum --check --status "/run/heat-engine-1/read"; }; then
    systemctl restart "$unit" || unwell "$unit" "systemd could not start it"
fi
well "$unit" node-1-heat-engine-1 '' 120
