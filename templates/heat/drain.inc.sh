# An API leaves the proxy before it stops, and is missed by nobody. `out` and `back` say what the proxy makes of it:
# templates/heat/send_state.inc.sh or templates/heat/monitored.inc.sh.

# drain UNIT SECONDS: have the proxy send no more requests, and wait until it is out; after so many seconds it stops all
# the same.
drain() {
    : >"/run/$(echo "$1" | tr @ -)/down"
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
