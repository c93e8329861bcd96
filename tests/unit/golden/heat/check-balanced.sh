# Check that every process of this node is healthy.
# The plan and its files: 7a0ccae5ad7c6cfbb577f442654ca5299c7ee56121d5d9b8e3cf49b30547b2d6
set -eu
# well UNIT NAME PORT SECONDS: wait until a process does its work, or say which one does not, with its log. PORT is
# empty for an engine: it works when the broker counts all of its workers on its own queue, engine.NAME.
well() {
    unit=$1 name=$2 port=$3 seconds=$4
    if [ -z "$port" ]; then
        told=$(/opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/broker_consumers.py "$seconds" "/etc/heat/processes/$unit/heat.conf" "/etc/heat/processes/$unit/secrets.conf" -- "engine.$name=1" 2>&1) ||
            unwell "$unit" "$told"
        return
    fi
    url=http://10.0.0.12:$port/healthcheck
    deadline=$(($(date +%s) + seconds))
    until [ "$(curl --silent --max-time 5 --noproxy '*' --output /dev/null --write-out '%{http_code}' "$url")" = 200 ]; do
        if systemctl is-failed --quiet "$unit"; then unwell "$unit" "it has failed"; fi
        [ "$(date +%s)" -lt "$deadline" ] || unwell "$unit" "no answer from $url for $seconds s"
        sleep 0.3
    done
}

unwell() {
    {
        echo "$1 on node-2 (10.0.0.12) does not work: $2"
        echo "The last lines of its log (journalctl -u $1):"
        # Heat names each of its 300 resource types at every start.
        journalctl --unit "$1" --lines 500 --no-pager --output cat | grep -v ' heat.engine.environment .* Registered: ' | tail -n 25
    } >&2
    exit 1
}
# The proxy asks an API every few seconds whether it is well, and what serves the API writes that into its log, in
# another form than what comes for clients. What the proxy makes of the answers it does not say, or there is no place for
# it in that log, so they are counted as it counts them.

# asked UNIT SINCE: who has asked since a time that journalctl understands, and what the answer was, a line for each.
asked() {
    journalctl --unit "$1" --since "$2" --output cat --no-pager |
        sed -n 's/^\([0-9.]*\) "GET \/healthcheck [^"]*" \([0-9]*\) .* "-\{0,1\}"$/\1 \2/p' |
        awk -v own=10.0.0.12 '$1 != own'
}

# proxied UNIT SINCE: the addresses that asked; nothing where no proxy does.
proxied() {
    asked "$1" "$2" | cut -d ' ' -f 1 | sort -u
}

# told UNIT SINCE STATUS TIMES: whether everyone who asked was answered so, so many times in a row by now.
told() {
    asked "$1" "$2" | awk -v status="$3" -v times="$4" '
        { row[$1] = $2 == status ? row[$1] + 1 : 0 }
        END { for (who in row) { some = 1; if (row[who] < times) exit 1 } exit !some }'
}

# out UNIT: whether the proxy sends no more requests, or nobody asks.
# Those under way end while the process stops, which has time for them.
out() {
    if [ -z "$(proxied "$1" -20s)" ]; then
        heard "$1" 20
        return
    fi
    told "$1" -20s 503 4
}

# back UNIT SINCE: whether it sends requests.
back() {
    told "$1" "$2" 200 2
}
# An API leaves the proxy before it stops, and is missed by nobody. `out` and `back` say what the proxy makes of it:
# templates/heat/send_state.inc.sh or templates/heat/monitored.inc.sh.

# marked UNIT: the file whose presence tells an API to leave. It is in a directory of root's. One that was started by an
# earlier version of this program looks in a directory of Heat's user.
marked() {
    sed -n 's/^disable_by_file_path *= *//p' "/etc/heat/processes/$1/process.conf" 2>/dev/null | tail -n 1
}

# on_mark FILE COMMAND …: run a command with this file, and where it is in a directory of Heat's user, as that user: root
# would follow whatever link is there.
on_mark() {
    mark=$1
    shift
    case "$mark" in
    "") ;;
    /run/heat-scaleout/*) "$@" "$mark" ;;
    *) runuser -u heat -- "$@" "$mark" ;;
    esac
}

# heard UNIT SECONDS: whether the journal can tell who has asked this API for so many seconds. It has to have a request
# that is made here and now, and something from before that time: a journal that is not kept, or was cleared, has no word
# of a proxy that asks all the time.
heard() {
    mark="heard-$$-$(date +%s%N)"
    # Whatever the answer is: the line in the log has the path.
    curl --silent --max-time 5 --noproxy '*' --output /dev/null "http://10.0.0.12:${1#*@}/$mark" || return 1
    tries=10
    until journalctl --unit "$1" --since "-$2s" --output cat --no-pager | grep -q "$mark"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.2
    done
    [ -n "$(journalctl --until "-$2s" --lines 1 --output cat --no-pager)" ]
}

# drain UNIT SECONDS: have the proxy send no more requests, and wait until it is out; after so many seconds it stops all
# the same, and so it does where nobody can say whether a proxy asks.
drain() {
    on_mark "$(marked "$1")" touch
    deadline=$(($(date +%s) + $2))
    until out "$1"; do
        [ "$(date +%s)" -lt "$deadline" ] || return 0
        sleep 0.2
    done
}

# returned UNIT SINCE SECONDS: wait until the proxy sends requests again.
returned() {
    deadline=$(($(date +%s) + $3))
    until back "$1" "$2"; do
        [ "$(date +%s)" -lt "$deadline" ] || return 1
        sleep 0.2
    done
}
systemctl is-active --quiet heat-engine@1 || unwell heat-engine@1 "it is not running"
well heat-engine@1 node-2-heat-engine-1 '' 10
systemctl is-active --quiet heat-api@8004 || unwell heat-api@8004 "it is not running"
well heat-api@8004 node-2-heat-api-8004 8004 10
returned heat-api@8004 -20s 120 || unwell heat-api@8004 "the proxy does not count it as healthy, or does not check it"
systemctl is-active --quiet heat-api-cfn@8000 || unwell heat-api-cfn@8000 "it is not running"
well heat-api-cfn@8000 node-2-heat-api-cfn-8000 8000 10
returned heat-api-cfn@8000 -20s 120 || unwell heat-api-cfn@8000 "the proxy does not count it as healthy, or does not check it"
