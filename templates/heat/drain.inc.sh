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
    curl --silent --max-time 5 --noproxy '*' --output /dev/null "http://{{ address }}:${1#*@}/$mark" || return 1
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
