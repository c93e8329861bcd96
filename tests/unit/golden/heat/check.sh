# Check that every process of this node is healthy.
# The plan and its files: 3bf37daf6619badec8fb02436f17e54b594ccb5802138849129bea21ac3032cb
set -eu
# wait_healthy UNIT NAME PORT SECONDS: wait until a process works, or fail with its name and its log. PORT is empty for
# an engine: it works if the broker counts all of its workers on its own queue, engine.NAME.
wait_healthy() {
    unit=$1 name=$2 port=$3 seconds=$4
    if [ -z "$port" ]; then
        output=$(/opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/broker_consumers.py "$seconds" "/etc/heat/processes/$unit/heat.conf" "/etc/heat/processes/$unit/secrets.conf" -- "engine.$name=1" 2>&1) ||
            fail_unhealthy "$unit" "$output"
        return
    fi
    url=http://10.0.0.3:$port/healthcheck
    deadline=$(($(date +%s) + seconds))
    until [ "$(curl --silent --max-time 5 --noproxy '*' --output /dev/null --write-out '%{http_code}' "$url")" = 200 ]; do
        if systemctl is-failed --quiet "$unit"; then fail_unhealthy "$unit" "it has failed"; fi
        [ "$(date +%s)" -lt "$deadline" ] || fail_unhealthy "$unit" "no answer from $url for $seconds s"
        sleep 0.3
    done
}

# fail_unhealthy UNIT REASON: report a process with its log, and end the script.
fail_unhealthy() {
    {
        echo "$1 on node-2 (10.0.0.3) does not work: $2"
        echo "The last lines of its log (journalctl -u $1):"
        # Heat names each of its 300 resource types at every start.
        journalctl --unit "$1" --lines 500 --no-pager --output cat | grep -v ' heat.engine.environment .* Registered: ' | tail -n 25
    } >&2
    exit 1
}
systemctl is-active --quiet heat-engine@1 || fail_unhealthy heat-engine@1 "it is not running"
wait_healthy heat-engine@1 node-2-heat-engine-1 '' 10
systemctl is-active --quiet heat-api@8004 || fail_unhealthy heat-api@8004 "it is not running"
wait_healthy heat-api@8004 node-2-heat-api-8004 8004 10
systemctl is-active --quiet heat-api-cfn@8000 || fail_unhealthy heat-api-cfn@8000 "it is not running"
wait_healthy heat-api-cfn@8000 node-2-heat-api-cfn-8000 8000 10
