# Run heat-engine@1: start it if it is not running, restart it if a file that it reads has changed, and check that it works.
# If nothing has changed, the process is not touched. If it does not work with its new files, it is rolled back.
# Its files: f16af87191f429ae0cda4ed0b336247a7c25dbe7c549801217ebea865678502f
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
    url=http://10.0.0.2:$port/healthcheck
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
        echo "$1 on node-1 (10.0.0.2) does not work: $2"
        echo "The last lines of its log (journalctl -u $1):"
        # Heat names each of its 300 resource types at every start.
        journalctl --unit "$1" --lines 500 --no-pager --output cat | grep -v ' heat.engine.environment .* Registered: ' | tail -n 25
    } >&2
    exit 1
}
# stacks_in_work UNIT NAME: the stacks that an engine works on, one on each line.
stacks_in_work() {
    /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/engine_work.py "$2" "/etc/heat/processes/$1/heat.conf" "/etc/heat/processes/$1/secrets.conf" 2>&1
}

# stop_gracefully UNIT NAME SECONDS: stop an engine when its work is done, never before. If that takes longer, list its
# stacks and fail. The engine continues until its work is done.
stop_gracefully() {
    dropin=/run/systemd/system/$1.service.d/finish.conf
    mkdir -p "${dropin%/*}"
    printf '[Service]\nTimeoutStopSec=infinity\n' >"$dropin"
    systemctl daemon-reload
    systemctl --no-block stop "$1"
    deadline=$(($(date +%s) + $3))
    until case "$(systemctl is-active "$1")" in inactive | failed) true ;; *) false ;; esac; do
        if [ "$(date +%s)" -ge "$deadline" ]; then
            {
                echo "$1 on node-1 (10.0.0.2) did not stop within $3 s. It accepts no new work and exits when these stacks finish:"
                stacks_in_work "$1" "$2" | sed 's/^/  /'
                echo "Type pulumi up again then, or allow more time: pulumi config set --path timeouts.engineGraceful"
            } >&2
            return 1
        fi
        sleep 0.2
    done
    rm -rf "${dropin%/*}"
    systemctl daemon-reload
}
# remove_unit UNIT: stop a process for good, and remove its unit and its files.
remove_unit() {
    systemctl --quiet disable --now "$1"
    systemctl reset-failed "$1" 2>/dev/null || true
    rm -rf "/etc/heat/processes/$1.conf" "/etc/heat/processes/$1" "/etc/systemd/system/$1.service" "/run/heat-scaleout/$1"
    systemctl daemon-reload
}
# Releases of Heat whose engines do not understand each other have separate vhosts at the broker, and so have the APIs
# that call them. During an upgrade each node that had engines on the old vhost keeps one there with its old files, the
# legacy engine: for the APIs that are not restarted yet, and for the stacks that were begun there.

# broker SECRETS: the broker and vhost of an engine that reads this file. Another login leads to the same queues.
broker() {
    sed -n 's/^transport_url *= *//p' "$1" | tail -n 1 | sed 's|[^/,@]*@||g'
}

# start_legacy_engine UNIT SECONDS: run an engine with copies of UNIT's files. Print its unit if it did not run before.
# Its number stands for its vhost.
start_legacy_engine() {
    legacy_unit=heat-engine@$((1000 + $(broker "/etc/heat/processes/$1/secrets.conf" | cksum | cut -d ' ' -f 1) % 9000))
    if systemctl is-active --quiet "$legacy_unit"; then return; fi
    cp -a "/etc/heat/processes/$1/." "/etc/heat/processes/$legacy_unit.new"
    rm -rf "/etc/heat/processes/$legacy_unit" "/etc/heat/processes/$legacy_unit.new/before"
    sed -i "s/^host *=.*/host = node-1-heat-engine-${legacy_unit#*@}/" "/etc/heat/processes/$legacy_unit.new/process.conf"
    mv "/etc/heat/processes/$legacy_unit.new" "/etc/heat/processes/$legacy_unit"
    cp -p "/etc/systemd/system/$1.service" "/etc/systemd/system/$legacy_unit.service"
    systemctl daemon-reload
    systemctl --quiet enable "$legacy_unit"
    systemctl restart "$legacy_unit" || fail_unhealthy "$legacy_unit" "systemd could not start it"
    # Its number of workers is in its old files, and not known here.
    output=$(/opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/broker_consumers.py "$2" "/etc/heat/processes/$legacy_unit/heat.conf" "/etc/heat/processes/$legacy_unit/secrets.conf" -- "engine.node-1-heat-engine-${legacy_unit#*@}=1+" 2>&1) ||
        fail_unhealthy "$legacy_unit" "$output"
    echo "$legacy_unit"
}
unit=heat-engine@1
own=/etc/heat/processes/$unit

# A process reads its own copies of the planned files. They are replaced when its rolling batch has come: until then it
# keeps running with the old copies, and restarts with them if it dies.
changed() {
    cmp -s /etc/heat/heat.conf /etc/heat/processes/heat-engine@1/heat.conf || return 0
    cmp -s /etc/heat/secrets.conf /etc/heat/processes/heat-engine@1/secrets.conf || return 0
    cmp -s /etc/heat/policy.yaml /etc/heat/processes/heat-engine@1/policy.yaml || return 0
    cmp -s /etc/systemd/system/heat-engine@.service /etc/systemd/system/heat-engine@1.service || return 0
    cmp -s /usr/local/lib/heat-scaleout/engine.py /etc/heat/processes/heat-engine@1/engine.py || return 0
    cmp -s /usr/local/lib/heat-scaleout/pace.py /etc/heat/processes/heat-engine@1/pace.py || return 0
    cmp -s /etc/heat/processes/heat-engine@1.conf /etc/heat/processes/heat-engine@1/process.conf || return 0
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
    systemctl restart "$unit" || fail_unhealthy "$unit" "systemd could not start it"
    wait_healthy "$unit" node-1-heat-engine-1 '' 120
}

# The unit's start writes the digests of the files that it reads.
if changed || ! { systemctl is-active --quiet "$unit" && sha256sum --check --status "/run/heat-scaleout/$unit/read"; }; then
    legacy=
    # If the change fails, the legacy engine that it started is removed.
    trap 'if [ -n "$legacy" ] && stop_gracefully "$legacy" "node-1-heat-engine-${legacy#*@}" 60; then remove_unit "$legacy"; fi' EXIT
    state=$(systemctl is-active "$unit") || true
    if [ "$state" = active ] && [ "$(broker "$own/secrets.conf")" != "$(broker /etc/heat/secrets.conf)" ]; then
        legacy=$(start_legacy_engine "$unit" 120)
    fi
    case "$state" in
    active | deactivating)
        stop_gracefully "$unit" node-1-heat-engine-1 60 || {
            # It starts again with its old files as soon as it has stopped. The next up restarts it.
            systemctl --no-block start "$unit"
            exit 1
        }
        ;;
    esac
    mkdir -p "$own/before"
    replace_copy /etc/heat/heat.conf /etc/heat/processes/heat-engine@1/heat.conf
    replace_copy /etc/heat/secrets.conf /etc/heat/processes/heat-engine@1/secrets.conf
    replace_copy /etc/heat/policy.yaml /etc/heat/processes/heat-engine@1/policy.yaml
    replace_copy /etc/systemd/system/heat-engine@.service /etc/systemd/system/heat-engine@1.service
    replace_copy /usr/local/lib/heat-scaleout/engine.py /etc/heat/processes/heat-engine@1/engine.py
    replace_copy /usr/local/lib/heat-scaleout/pace.py /etc/heat/processes/heat-engine@1/pace.py
    replace_copy /etc/heat/processes/heat-engine@1.conf /etc/heat/processes/heat-engine@1/process.conf
    # A subshell: fail_unhealthy ends it.
    if ! (start); then
        [ -n "$(ls "$own/before")" ] || exit 1
        restore_copy /etc/heat/processes/heat-engine@1/heat.conf
        restore_copy /etc/heat/processes/heat-engine@1/secrets.conf
        restore_copy /etc/heat/processes/heat-engine@1/policy.yaml
        restore_copy /etc/systemd/system/heat-engine@1.service
        restore_copy /etc/heat/processes/heat-engine@1/engine.py
        restore_copy /etc/heat/processes/heat-engine@1/pace.py
        restore_copy /etc/heat/processes/heat-engine@1/process.conf
        if (start) 2>/dev/null; then
            echo "$unit runs again with its previous files. Processes that were not restarted yet keep their previous files." >&2
        else
            echo "It does not work with its previous files either. Processes that were not restarted yet keep their previous files." >&2
        fi
        exit 1
    fi
    rm -rf "$own/before"
    legacy=
fi
wait_healthy "$unit" node-1-heat-engine-1 '' 120
