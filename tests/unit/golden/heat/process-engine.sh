# Run heat-engine@1: start it when it is not running, restart it when a file that it reads has changed, and see that it
# works. One that runs what it should is not touched; one that does not work with what is new goes back to what it had.
# Its files: f713e030689651d19103ca5c0bff5f40dee30a435de44b6995ac0212418e0b9b
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
# at_work UNIT NAME: the stacks that an engine has work of in hand, one on each line.
at_work() {
    /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/engine_work.py "$2" "/etc/heat/processes/$1/heat.conf" "/etc/heat/processes/$1/secrets.conf" 2>&1
}

# finish UNIT NAME SECONDS: stop an engine when it has done what it has in hand, and never before. Where that takes
# longer, it says which stacks it is at, and fails; the engine goes on until it has done it.
finish() {
    dropin=/run/systemd/system/$1.service.d/finish.conf
    mkdir -p "${dropin%/*}"
    printf '[Service]\nTimeoutStopSec=infinity\n' >"$dropin"
    systemctl daemon-reload
    systemctl --no-block stop "$1"
    deadline=$(($(date +%s) + $3))
    until case "$(systemctl is-active "$1")" in inactive | failed) true ;; *) false ;; esac; do
        if [ "$(date +%s)" -ge "$deadline" ]; then
            {
                echo "$1 on node-1 (10.0.0.2) has had $3 s to do what it has in hand, and has not stopped yet."
                echo "It goes on with it and takes up nothing else; nothing is cut off. It is at these stacks:"
                at_work "$1" "$2" | sed 's/^/  /'
                echo "Type pulumi up again when it is done, or give it more: pulumi config set --path timeouts.engineGraceful"
            } >&2
            return 1
        fi
        sleep 0.2
    done
    rm -rf "${dropin%/*}"
    systemctl daemon-reload
}
# forget UNIT: stop a process for good, and leave nothing of it.
forget() {
    systemctl --quiet disable --now "$1"
    systemctl reset-failed "$1" 2>/dev/null || true
    rm -rf "/etc/heat/processes/$1.conf" "/etc/heat/processes/$1" "/etc/systemd/system/$1.service" "/run/heat-scaleout/$1"
    systemctl daemon-reload
}
# Releases of Heat whose engines do not understand one another are on vhosts of their own at the broker, and so are the
# APIs that ask them. While a deployment goes over from one to the other, each node that had engines on the old vhost
# keeps one there, as it was: a stand-in, for the APIs whose turn has not come and for the stacks that were begun there.

# broker SECRETS: where an engine that reads this file is connected. Another login leads to the same queues.
broker() {
    sed -n 's/^transport_url *= *//p' "$1" | tail -n 1 | sed 's|[^/,@]*@||g'
}

# stand_in UNIT SECONDS: have an engine with UNIT's copies run beside it, and print its unit where it has not been
# there before. It is called by a number that stands for its vhost.
stand_in() {
    other=heat-engine@$((1000 + $(broker "/etc/heat/processes/$1/secrets.conf" | cksum | cut -d ' ' -f 1) % 9000))
    if systemctl is-active --quiet "$other"; then return; fi
    cp -a "/etc/heat/processes/$1/." "/etc/heat/processes/$other.new"
    rm -rf "/etc/heat/processes/$other" "/etc/heat/processes/$other.new/before"
    sed -i "s/^host *=.*/host = node-1-heat-engine-${other#*@}/" "/etc/heat/processes/$other.new/process.conf"
    mv "/etc/heat/processes/$other.new" "/etc/heat/processes/$other"
    cp -p "/etc/systemd/system/$1.service" "/etc/systemd/system/$other.service"
    systemctl daemon-reload
    systemctl --quiet enable "$other"
    systemctl restart "$other" || unwell "$other" "systemd could not start it"
    # How many workers it has is up to what it was.
    told=$(/opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/broker_consumers.py "$2" "/etc/heat/processes/$other/heat.conf" "/etc/heat/processes/$other/secrets.conf" -- "engine.node-1-heat-engine-${other#*@}=1+" 2>&1) ||
        unwell "$other" "$told"
    echo "$other"
}
unit=heat-engine@1
own=/etc/heat/processes/$unit

# A process reads copies of its own, which are taken when its turn has come: until then it runs on with those that it
# has, and starts with them again when it dies.
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
    systemctl restart "$unit" || unwell "$unit" "systemd could not start it"
    well "$unit" node-1-heat-engine-1 '' 120
}

# The unit's start leaves the digests of what it read.
if changed || ! { systemctl is-active --quiet "$unit" && sha256sum --check --status "/run/heat-scaleout/$unit/read"; }; then
    beside=
    # A change that does not come about leaves nobody behind on its account.
    trap 'if [ -n "$beside" ] && finish "$beside" "node-1-heat-engine-${beside#*@}" 60; then forget "$beside"; fi' EXIT
    state=$(systemctl is-active "$unit") || true
    if [ "$state" = active ] && [ "$(broker "$own/secrets.conf")" != "$(broker /etc/heat/secrets.conf)" ]; then
        beside=$(stand_in "$unit" 120)
    fi
    case "$state" in
    active | deactivating)
        finish "$unit" node-1-heat-engine-1 60 || {
            # It is started as soon as it has stopped, with what it had; its turn comes with the next up.
            systemctl --no-block start "$unit"
            exit 1
        }
        ;;
    esac
    mkdir -p "$own/before"
    take /etc/heat/heat.conf /etc/heat/processes/heat-engine@1/heat.conf
    take /etc/heat/secrets.conf /etc/heat/processes/heat-engine@1/secrets.conf
    take /etc/heat/policy.yaml /etc/heat/processes/heat-engine@1/policy.yaml
    take /etc/systemd/system/heat-engine@.service /etc/systemd/system/heat-engine@1.service
    take /usr/local/lib/heat-scaleout/engine.py /etc/heat/processes/heat-engine@1/engine.py
    take /usr/local/lib/heat-scaleout/pace.py /etc/heat/processes/heat-engine@1/pace.py
    take /etc/heat/processes/heat-engine@1.conf /etc/heat/processes/heat-engine@1/process.conf
    # A subshell: it ends where the process is found not to work.
    if ! (start); then
        [ -n "$(ls "$own/before")" ] || exit 1
        put_back /etc/heat/processes/heat-engine@1/heat.conf
        put_back /etc/heat/processes/heat-engine@1/secrets.conf
        put_back /etc/heat/processes/heat-engine@1/policy.yaml
        put_back /etc/systemd/system/heat-engine@1.service
        put_back /etc/heat/processes/heat-engine@1/engine.py
        put_back /etc/heat/processes/heat-engine@1/pace.py
        put_back /etc/heat/processes/heat-engine@1/process.conf
        if (start) 2>/dev/null; then
            echo "$unit runs again with what it had before, and so do those whose turn had not come." >&2
        else
            echo "Nor does it work with what it had before; those whose turn had not come are as they were." >&2
        fi
        exit 1
    fi
    rm -rf "$own/before"
    beside=
fi
well "$unit" node-1-heat-engine-1 '' 120
