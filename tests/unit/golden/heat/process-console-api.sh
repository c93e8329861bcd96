# Run heat-api@8004: start it when it is not running, restart it when a file that it reads has changed, and see that it
# works. One that runs what it should is not touched; one that does not work with what is new goes back to what it had.
# Its files: b52d117abe54869cf813f119853fb9d6e766e42d516115202d2571614db8c81c
set -eu
# well UNIT NAME PORT SECONDS: wait until a process does its work, or say which one does not, with its log. PORT is
# empty for an engine: it works when the broker counts all of its workers on its own queue, engine.NAME.
well() {
    unit=$1 name=$2 port=$3 seconds=$4
    if [ -z "$port" ]; then
        told=$(/opt/heat/24.1.2/bin/python /usr/local/lib/heat-scaleout/broker_consumers.py "$seconds" "/etc/heat/processes/$unit/heat.conf" "/etc/heat/processes/$unit/secrets.conf" -- "engine.$name=1" 2>&1) ||
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
# The proxy asks an API every few seconds whether it is well, and what serves the API writes that into its log, in
# another form than what comes for clients. What the proxy makes of the answers it does not say, or there is no place for
# it in that log, so they are counted as it counts them.

# asked UNIT SINCE: who has asked since a time that journalctl understands, and what the answer was, a line for each.
asked() {
    journalctl --unit "$1" --since "$2" --output cat --no-pager |
        sed -n 's/.* \([0-9.]*\) - - \[[^]]*\] "GET \/healthcheck [^"]*" \([0-9]*\) .*/\1 \2/p' |
        awk -v proxy=10.0.0.1 '$1 == proxy'
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
# Those under way have ended then: this process does not wait for them when it stops.
out() {
    if [ -z "$(proxied "$1" -20s)" ]; then
        heard "$1" 20
        return
    fi
    told "$1" -20s 503 4 && [ -z "$(ss -Htn state established "sport = :${1#*@}")" ]
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
    curl --silent --max-time 5 --noproxy '*' --output /dev/null "http://10.0.0.2:${1#*@}/$mark" || return 1
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
# holder ADDRESS PORT UNIT: print the process, other than UNIT's own, that listens on UNIT's port, such as "nginx
# (process 812)", or nothing if the port is free. A socket reports the control group that created it, and thus its unit,
# even where root cannot see its process, as in a container.
holder() {
    ss -Hltnp --cgroup "sport = :$2" | awk -v own="$1:$2" -v all="0.0.0.0:$2" -v any="*:$2" '$4 == own || $4 == all || $4 == any' |
        while read -r socket; do
            case "$socket " in
            # Users may create control groups with any name below their own.
            *" cgroup:"*"/user.slice/"*) ;;
            *" cgroup:"*"/system.slice/$3.service "* | *" cgroup:"*"/system.slice/"*".slice/$3.service "*) continue ;;
            esac
            pid=$(echo "$socket" | sed -n 's/.*,pid=\([0-9]*\),.*/\1/p')
            if [ -z "$pid" ]; then
                group=$(echo "$socket" | sed -n 's/.* cgroup:[^ ]*\/\([^/ ]*\).*/\1/p')
                echo "a process that cannot be seen from here${group:+ ($group)}"
            elif grep -qsF "/user.slice/" "/proc/$pid/cgroup" || ! grep -qsF "/$3.service" "/proc/$pid/cgroup"; then
                echo "$(cat "/proc/$pid/comm") (process $pid)"
            fi
        done | head -n 1
}
unit=heat-api@8004
# Seconds after which a proxy that nobody hears of has taken an API back.
unheard=30
own=/etc/heat/processes/$unit

# A process reads copies of its own, which are taken when its turn has come: until then it runs on with those that it
# has, and starts with them again when it dies.
changed() {
    cmp -s /etc/heat/heat.conf /etc/heat/processes/heat-api@8004/heat.conf || return 0
    cmp -s /etc/heat/secrets.conf /etc/heat/processes/heat-api@8004/secrets.conf || return 0
    cmp -s /etc/heat/policy.yaml /etc/heat/processes/heat-api@8004/policy.yaml || return 0
    cmp -s /etc/systemd/system/heat-api@.service /etc/systemd/system/heat-api@8004.service || return 0
    cmp -s /etc/heat/processes/heat-api@8004.conf /etc/heat/processes/heat-api@8004/process.conf || return 0
    return 1
}

# take WANTED COPY: what was there is kept until the process has been seen to work.
take() {
    if cmp -s "$1" "$2"; then return; fi
    [ ! -f "$2" ] || cp -p "$2" "$own/before/"
    rm -f "$2.new"
    cp -p "$1" "$2.new"
    mv "$2.new" "$2"
}

put_back() {
    kept=$own/before/${1##*/}
    [ ! -f "$kept" ] || mv "$kept" "$1"
}

start() {
    systemctl daemon-reload
    systemctl is-enabled --quiet "$unit" || systemctl --quiet enable "$unit"
    since=@$(date +%s)
    systemctl restart "$unit" || unwell "$unit" "systemd could not start it"
    well "$unit" node-1-heat-api-8004 8004 120
    case "$behind_proxy" in
    "") ;;
    unheard) sleep "$unheard" ;;
    *) returned "$unit" "$since" 120 || unwell "$unit" "the proxy does not take it back" ;;
    esac
}

# The unit's start leaves the digests of what it read.
if changed || ! { systemctl is-active --quiet "$unit" && sha256sum --check --status "/run/heat-scaleout/$unit/read"; }; then
    # Only before a start: of a process of another user ss may not see who it is, not even that it is this unit's.
    state=$(systemctl is-active "$unit") || true
    other=
    case "$state" in inactive | failed) other=$(holder 10.0.0.2 8004 "$unit") ;; esac
    if [ -n "$other" ]; then
        echo "$unit on node-1 (10.0.0.2) cannot run: port 8004 is taken by $other" >&2
        exit 1
    fi
    behind_proxy=$(proxied "$unit" -30s)
    if [ -z "$behind_proxy" ] && [ "$state" = active ] && ! heard "$unit" 20; then
        behind_proxy=unheard
        echo "the journal of node-1 does not have what $unit logs: it gives a proxy 75 s to leave it, and $unheard s to come back" >&2
    fi
    # Here and now: after this turn its file may say another one.
    down=$(marked "$unit")
    trap 'on_mark "$down" rm -f' EXIT
    [ "$state" != active ] || drain "$unit" 75
    mkdir -p "$own/before"
    take /etc/heat/heat.conf /etc/heat/processes/heat-api@8004/heat.conf
    take /etc/heat/secrets.conf /etc/heat/processes/heat-api@8004/secrets.conf
    take /etc/heat/policy.yaml /etc/heat/processes/heat-api@8004/policy.yaml
    take /etc/systemd/system/heat-api@.service /etc/systemd/system/heat-api@8004.service
    take /etc/heat/processes/heat-api@8004.conf /etc/heat/processes/heat-api@8004/process.conf
    # A subshell: it ends where the process is found not to work.
    if ! (start); then
        [ -n "$(ls "$own/before")" ] || exit 1
        put_back /etc/heat/processes/heat-api@8004/heat.conf
        put_back /etc/heat/processes/heat-api@8004/secrets.conf
        put_back /etc/heat/processes/heat-api@8004/policy.yaml
        put_back /etc/systemd/system/heat-api@8004.service
        put_back /etc/heat/processes/heat-api@8004/process.conf
        if (start) 2>/dev/null; then
            echo "$unit runs again with what it had before, and so do those whose turn had not come." >&2
        else
            echo "Nor does it work with what it had before; those whose turn had not come are as they were." >&2
        fi
        exit 1
    fi
    rm -rf "$own/before"
fi
well "$unit" node-1-heat-api-8004 8004 120
