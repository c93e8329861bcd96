# The first thing that runs on a host: wait until it has booted, and put the other end of the program's hand in place.
set -eu

[ "$(id -u)" = 0 ] || { echo "needs root: log in as root or as a user with passwordless sudo" >&2; exit 1; }
[ "$(cat /proc/1/comm)" = systemd ] || { echo "$(hostname) does not run systemd, which starts Heat's processes" >&2; exit 1; }

# A VM may still be in its first boot; "degraded" only says that some unit failed, not that this one is not ready.
if command -v cloud-init >/dev/null; then cloud-init status --wait >/dev/null || true; fi
timeout 300 systemctl is-system-running --wait >/dev/null || true

tmp=$(mktemp /usr/local/sbin/.heat-scaleout.XXXXXX)
cat >"$tmp" <<'END_OF_HEAT_SCALEOUT'
#!/bin/sh
# How heat-scaleout reaches this host: the program sends a file or a script on stdin, and nothing on a command line.
#
#   heat-scaleout put PATH MODE OWNER:GROUP [CHECK …]   put stdin in place, atomically
#   heat-scaleout run NAME                              run the script on stdin
#
# put: where a CHECK is given, it is called with the path of the new content, and a failing check leaves the old file.
# run: two runs of one NAME never overlap; a run whose connection was lost goes on, and the next one waits for it.
set -eu
umask 077

fail() {
    echo "heat-scaleout: $*" >&2
    exit 1
}

work=$(mktemp -d /run/heat-scaleout.XXXXXX)
staged=
trap 'rm -rf "$work" ${staged:+"$staged"}' EXIT
trap 'exit 129' HUP
trap 'exit 143' TERM

put() {
    path=$1 mode=$2 owner=$3
    shift 3
    cat >"$work/content"
    if [ $# -gt 0 ]; then
        "$@" "$work/content" </dev/null || fail "refused as $path on $(hostname): see above; the old file stays"
    fi
    if [ -f "$path" ] && cmp -s "$work/content" "$path" &&
        [ "$(stat -c '%a %U:%G' "$path")" = "${mode#0} $owner" ]; then
        echo unchanged
        return
    fi
    (umask 022 && mkdir -p "$(dirname "$path")")
    staged=$(dirname "$path")/.$(basename "$path").heat-scaleout
    # Owner and mode first, content after: the content is never readable by others, not even for a moment.
    rm -f "$staged"
    install -m "$mode" -o "${owner%:*}" -g "${owner#*:}" /dev/null "$staged"
    cat "$work/content" >"$staged"
    sync "$staged"
    mv -f "$staged" "$path"
    echo changed
}

run() {
    name=$1
    cat >"$work/script"
    exec 9>"/run/lock/heat-scaleout-$name"
    flock -w 900 9 || fail "another run of $name has been going on for 15 minutes on $(hostname)"
    (umask 022 && sh "$work/script" </dev/null 9>&-)
}

case "${1-}" in
put | run)
    what=$1
    shift
    "$what" "$@"
    ;;
*) fail "usage: heat-scaleout put PATH MODE OWNER:GROUP [CHECK …] | run NAME" ;;
esac
END_OF_HEAT_SCALEOUT
chmod 0755 "$tmp"
mv -f "$tmp" /usr/local/sbin/heat-scaleout
