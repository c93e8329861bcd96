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

# drain UNIT SECONDS: have the proxy send no more requests, and wait until it is out; after so many seconds it stops all
# the same.
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
