# Run heat-api@8004: start it if it is not running, restart it if a file that it reads has changed, and check that it works.
# If nothing has changed, the process is not touched. If it does not work with its new files, it is rolled back.
# Its files: aded747065fa6c95e5c44cc5e3f048efe3bd0f7b6f9e2c843adaa4d0b6355252
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
    url=http://10.0.0.11:$port/healthcheck
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
        echo "$1 on node-1 (10.0.0.11) does not work: $2"
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
        awk -v own=10.0.0.11 '$1 != own'
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
    curl --silent --max-time 5 --noproxy '*' --output /dev/null "http://10.0.0.11:${1#*@}/$mark" || return 1
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
# Seconds after which a proxy that the journal does not show sends requests to an API again.
unknown_proxy_wait=30
own=/etc/heat/processes/$unit

# A process reads its own copies of the planned files. They are replaced when its rolling batch has come: until then it
# keeps running with the old copies, and restarts with them if it dies.
changed() {
    cmp -s /etc/heat/heat.conf /etc/heat/processes/heat-api@8004/heat.conf || return 0
    cmp -s /etc/heat/secrets.conf /etc/heat/processes/heat-api@8004/secrets.conf || return 0
    cmp -s /etc/heat/policy.yaml /etc/heat/processes/heat-api@8004/policy.yaml || return 0
    cmp -s /etc/systemd/system/heat-api@.service /etc/systemd/system/heat-api@8004.service || return 0
    cmp -s /etc/heat/uwsgi-heat-api.ini /etc/heat/processes/heat-api@8004/uwsgi.ini || return 0
    cmp -s /usr/local/lib/heat-scaleout/api.py /etc/heat/processes/heat-api@8004/api.py || return 0
    cmp -s /etc/heat/processes/heat-api@8004.conf /etc/heat/processes/heat-api@8004/process.conf || return 0
    return 1
}

# replace_copy PLANNED COPY: the old copy is kept until the process works with the new one.
replace_copy() {
    if cmp -s "$1" "$2"; then return; fi
    [ ! -f "$2" ] || cp -p "$2" "$own/before/"
    rm -f "$2.new"
    cp -p "$1" "$2.new"
    mv "$2.new" "$2"
}

restore_copy() {
    kept=$own/before/${1##*/}
    [ ! -f "$kept" ] || mv "$kept" "$1"
}

start() {
    systemctl daemon-reload
    systemctl is-enabled --quiet "$unit" || systemctl --quiet enable "$unit"
    since=@$(date +%s)
    systemctl restart "$unit" || fail_unhealthy "$unit" "systemd could not start it"
    wait_healthy "$unit" node-1-heat-api-8004 8004 120
    case "$behind_proxy" in
    "") ;;
    unknown) sleep "$unknown_proxy_wait" ;;
    *) wait_serving "$unit" "$since" 120 || fail_unhealthy "$unit" "the proxy sends it no requests" ;;
    esac
}

# The unit's start writes the digests of the files that it reads.
if changed || ! { systemctl is-active --quiet "$unit" && sha256sum --check --status "/run/heat-scaleout/$unit/read"; }; then
    # Only before a start: ss may not see whose process it is if it belongs to another user, not even that it is this unit's.
    state=$(systemctl is-active "$unit") || true
    other=
    case "$state" in inactive | failed) other=$(holder 10.0.0.11 8004 "$unit") ;; esac
    if [ -n "$other" ]; then
        echo "$unit on node-1 (10.0.0.11) cannot run: port 8004 is taken by $other" >&2
        exit 1
    fi
    behind_proxy=$(proxy_checks "$unit" -30s)
    if [ -z "$behind_proxy" ] && [ "$state" = active ] && ! journal_complete "$unit" 20; then
        behind_proxy=unknown
        echo "The journal of node-1 does not show what $unit logs, so the proxy cannot be observed. It has 75 s to take the API out of service, and $unknown_proxy_wait s to put it back." >&2
    fi
    # Read it before the restart: the new process.conf may have another path.
    down=$(drain_file "$unit")
    trap 'on_drain_file "$down" rm -f' EXIT
    [ "$state" != active ] || drain "$unit" 75
    mkdir -p "$own/before"
    replace_copy /etc/heat/heat.conf /etc/heat/processes/heat-api@8004/heat.conf
    replace_copy /etc/heat/secrets.conf /etc/heat/processes/heat-api@8004/secrets.conf
    replace_copy /etc/heat/policy.yaml /etc/heat/processes/heat-api@8004/policy.yaml
    replace_copy /etc/systemd/system/heat-api@.service /etc/systemd/system/heat-api@8004.service
    replace_copy /etc/heat/uwsgi-heat-api.ini /etc/heat/processes/heat-api@8004/uwsgi.ini
    replace_copy /usr/local/lib/heat-scaleout/api.py /etc/heat/processes/heat-api@8004/api.py
    replace_copy /etc/heat/processes/heat-api@8004.conf /etc/heat/processes/heat-api@8004/process.conf
    # A subshell: fail_unhealthy ends it.
    if ! (start); then
        [ -n "$(ls "$own/before")" ] || exit 1
        restore_copy /etc/heat/processes/heat-api@8004/heat.conf
        restore_copy /etc/heat/processes/heat-api@8004/secrets.conf
        restore_copy /etc/heat/processes/heat-api@8004/policy.yaml
        restore_copy /etc/systemd/system/heat-api@8004.service
        restore_copy /etc/heat/processes/heat-api@8004/uwsgi.ini
        restore_copy /etc/heat/processes/heat-api@8004/api.py
        restore_copy /etc/heat/processes/heat-api@8004/process.conf
        if (start) 2>/dev/null; then
            echo "$unit runs again with its previous files. Processes that were not restarted yet keep their previous files." >&2
        else
            echo "It does not work with its previous files either. Processes that were not restarted yet keep their previous files." >&2
        fi
        exit 1
    fi
    rm -rf "$own/before"
fi
wait_healthy "$unit" node-1-heat-api-8004 8004 120
