# Check that every process of this node is healthy.
# The plan and its files: 3be1d4e00253a1f5fdd84d1dbdf7b0b3d4d90bba773a6b747dda31fdcf441e98
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
    url=http://10.0.0.12:$port/healthcheck
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
        echo "$1 on node-2 (10.0.0.12) does not work: $2"
        echo "The last lines of its log (journalctl -u $1):"
        # Heat names each of its 300 resource types at every start.
        journalctl --unit "$1" --lines 500 --no-pager --output cat | grep -v ' heat.engine.environment .* Registered: ' | tail -n 25
    } >&2
    exit 1
}
# The proxy checks an API's health every few seconds, and the API's server writes the checks to its log, in another form
# than clients' requests. This proxy does not report its state, or that log has no place for it. So the answers are counted
# here as the proxy counts them.

# health_checks UNIT SINCE: the health checks since a time that journalctl understands: address and status, a line for each.
health_checks() {
    journalctl --unit "$1" --since "$2" --output cat --no-pager |
        sed -n 's/^\([0-9.]*\) "GET \/healthcheck [^"]*" \([0-9]*\) .* "-\{0,1\}"$/\1 \2/p' |
        awk -v own=10.0.0.12 '$1 != own'
}

# proxy_checks UNIT SINCE: the addresses that sent health checks; empty without a proxy.
proxy_checks() {
    health_checks "$1" "$2" | cut -d ' ' -f 1 | sort -u
}

# answered UNIT SINCE STATUS TIMES: whether the last TIMES checks of each address had this STATUS.
answered() {
    health_checks "$1" "$2" | awk -v status="$3" -v times="$4" '
        { row[$1] = $2 == status ? row[$1] + 1 : 0 }
        END { for (who in row) { some = 1; if (row[who] < times) exit 1 } exit !some }'
}

# drained UNIT: whether the proxy sends no more requests, or there is no proxy.
# The earlier requests end while the process stops.
drained() {
    if [ -z "$(proxy_checks "$1" -20s)" ]; then
        journal_complete "$1" 20
        return
    fi
    answered "$1" -20s 503 4
}

# serving UNIT SINCE: whether the proxy sends requests.
serving() {
    answered "$1" "$2" 200 2
}
# An API is drained before it stops, so that no request is lost. `drained` and `serving` report what the proxy does with
# the API: templates/heat/send_state.inc.sh or templates/heat/monitored.inc.sh.

# drain_file UNIT: the path of the file that makes an API's health check fail. It is in a directory of root's. An API that
# an earlier version of this program started uses a directory of Heat's user.
drain_file() {
    sed -n 's/^disable_by_file_path *= *//p' "/etc/heat/processes/$1/process.conf" 2>/dev/null | tail -n 1
}

# on_drain_file FILE COMMAND …: run a command with this file. If the file is in a directory of Heat's user, run it as that
# user: root would follow any link there.
on_drain_file() {
    file=$1
    shift
    case "$file" in
    "") ;;
    /run/heat-scaleout/*) "$@" "$file" ;;
    *) runuser -u heat -- "$@" "$file" ;;
    esac
}

# journal_complete UNIT SECONDS: whether the journal shows all requests to this API of the last SECONDS. It must have a
# request that is made here, and an entry from before that time: a journal that is not kept, or was cleared, does not show
# a proxy that sends requests all the time.
journal_complete() {
    mark="heard-$$-$(date +%s%N)"
    # Any answer will do: the line in the log has the path.
    curl --silent --max-time 5 --noproxy '*' --output /dev/null "http://10.0.0.12:${1#*@}/$mark" || return 1
    tries=10
    until journalctl --unit "$1" --since "-$2s" --output cat --no-pager | grep -q "$mark"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.2
    done
    [ -n "$(journalctl --until "-$2s" --lines 1 --output cat --no-pager)" ]
}

# drain UNIT SECONDS: have the proxy send no more requests, and wait until the API is drained. The API stops after SECONDS
# in any case, also if the journal does not show whether there is a proxy.
drain() {
    on_drain_file "$(drain_file "$1")" touch
    deadline=$(($(date +%s) + $2))
    until drained "$1"; do
        [ "$(date +%s)" -lt "$deadline" ] || return 0
        sleep 0.2
    done
}

# wait_serving UNIT SINCE SECONDS: wait until the proxy sends requests again.
wait_serving() {
    deadline=$(($(date +%s) + $3))
    until serving "$1" "$2"; do
        [ "$(date +%s)" -lt "$deadline" ] || return 1
        sleep 0.2
    done
}
systemctl is-active --quiet heat-engine@1 || fail_unhealthy heat-engine@1 "it is not running"
wait_healthy heat-engine@1 node-2-heat-engine-1 '' 10
systemctl is-active --quiet heat-api@8004 || fail_unhealthy heat-api@8004 "it is not running"
wait_healthy heat-api@8004 node-2-heat-api-8004 8004 10
wait_serving heat-api@8004 -20s 120 || fail_unhealthy heat-api@8004 "the proxy does not count it as healthy, or does not check it"
systemctl is-active --quiet heat-api-cfn@8000 || fail_unhealthy heat-api-cfn@8000 "it is not running"
wait_healthy heat-api-cfn@8000 node-2-heat-api-cfn-8000 8000 10
wait_serving heat-api-cfn@8000 -20s 120 || fail_unhealthy heat-api-cfn@8000 "the proxy does not count it as healthy, or does not check it"
