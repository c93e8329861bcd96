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
    curl --silent --max-time 5 --noproxy '*' --output /dev/null "http://{{ address }}:${1#*@}/$mark" || return 1
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
