#!/bin/sh
# How heat-scaleout reaches this host: the program sends a file or a script on stdin, and nothing on a command line.
#
#   heat-scaleout put PATH MODE OWNER:GROUP [CHECK …]   put what comes on stdin in place, atomically
#   heat-scaleout run NAME                              run the script that comes on stdin
#
# The first line of stdin is "heat-scaleout-input BYTES", with the length of what follows. Nothing is done before all of
# it has arrived: a connection that is cut delivers the beginning of a file or of a script, which looks like a whole one.
# put: where a CHECK is given, it is called with the path of the new content, and a failing check leaves the old file.
# Two puts of one PATH never overlap, nor do two runs of one NAME. A run whose connection was lost goes on, and the next
# one waits for it.
set -eu
umask 077
# Root's alone, so that nobody else can hold a lock or lead a write elsewhere. Beside it, in directories that others may
# enter, is what units tell each other: templates/scripts/stamp.inc.sh.
state=/run/heat-scaleout
private=$state/private

fail() {
    echo "heat-scaleout: $*" >&2
    exit 1
}

install -d -m 0755 "$state"
install -d -m 0700 "$private"
# What a call that was killed has left.
for left in "$private"/work.*; do
    caller=${left##*/work.}
    kill -0 "${caller%.*}" 2>/dev/null || rm -rf "$left"
done
work=$(mktemp -d "$private/work.$$.XXXXXX")
staged=
trap 'rm -rf "$work" ${staged:+"$staged"}' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# is_earlier_farewell WHAT: whether this is the last script of a host, as an earlier version of the program left it in
# Pulumi's state: without a first line, and whole by its last one. An upgrade that stops half-way must not keep `destroy`
# from its end.
is_earlier_farewell() {
    case "$1: $(grep . "$work/content" | tail -n 1)" in
    "the script leave: rm -rf /etc/heat/secrets.conf /etc/heat/adopted") ;;
    "the script haproxy-leave: rm -f /run/haproxy/loaded.sha256" | "the script haproxy-leave: END_OF_SPEC") ;;
    *) return 1 ;;
    esac
}

# receive WHAT: have all of stdin in $work/content, or fail.
receive() {
    first=
    whole=no
    if IFS= read -r first; then whole=yes; fi
    length=${first#heat-scaleout-input }
    if [ "$whole" = no ] || [ "$length" = "$first" ]; then
        { printf '%s\n' "$first" && cat; } >"$work/content"
        if is_earlier_farewell "$1"; then return; fi
        fail "$1 came to $(hostname) without its first line, which says how long it is: the connection was lost, or another version of heat-scaleout sent it. Nothing was done. Type: pulumi up"
    fi
    case "$length" in
    "" | *[!0-9]*) fail "$1 came to $(hostname) with a first line that cannot be read. Nothing was done. Type: pulumi up" ;;
    esac
    cat >"$work/content"
    arrived=$(wc -c <"$work/content")
    [ "$arrived" -eq "$length" ] ||
        fail "$arrived of the $length bytes of $1 came to $(hostname): the connection was lost. Nothing was done. Type: pulumi up"
}

# lock NAME SECONDS: hold a lock of this NAME on descriptor 9 until this program ends, or fail after so many seconds.
lock() {
    exec 9>"$private/$(printf %s "$1" | tr / _).lock"
    flock -w "$2" 9
}

# take_back: have Heat's directories be root's. Debian's package of Heat gives the first one to Heat's own user at each of its
# upgrades, who could then lead what root writes there elsewhere.
take_back() {
    for directory in /etc/heat /etc/heat/processes; do
        [ -d /etc/heat/processes ] || return 0
        [ ! -L "$directory" ] || fail "$directory on $(hostname) is a link, and another user may have made it. Nothing was done. Look at where it leads, and remove it"
        [ "$(stat -c %u "$directory")" = 0 ] || { chown root:heat "$directory" && chmod 0750 "$directory"; }
    done
}

put() {
    path=$1 mode=$2 owner=$3
    shift 3
    receive "$path"
    take_back
    if [ $# -gt 0 ]; then
        "$@" "$work/content" </dev/null || fail "refused as $path on $(hostname): see above; the old file stays"
    fi
    lock "put-$path" 60 || fail "another put of $path has been going on for a minute on $(hostname)"
    if [ -f "$path" ] && [ ! -L "$path" ] && cmp -s "$work/content" "$path" &&
        [ "$(stat -c '%a %U:%G' "$path")" = "${mode#0} $owner" ]; then
        echo unchanged
        return
    fi
    (umask 022 && mkdir -p "$(dirname "$path")")
    staged=$(dirname "$path")/.$(basename "$path").heat-scaleout
    rm -f "$staged"
    # A new file, or none (noclobber), and from then on by its descriptor alone: a service's own user, who may write to
    # the directory, cannot have it written elsewhere by a link. Owner and mode come first: the content is never readable
    # by others, not even for a moment.
    set -C
    exec 8>"$staged"
    set +C
    chown "$owner" /proc/self/fd/8
    chmod "$mode" /proc/self/fd/8
    cat "$work/content" >&8
    sync /proc/self/fd/8
    exec 8>&-
    mv -fT "$staged" "$path"
    staged=
    echo changed
}

run() {
    name=$1
    receive "the script $name"
    lock "run-$name" 900 || fail "another run of $name has been going on for 15 minutes on $(hostname)"
    take_back
    # What it prints goes to a file first: a script whose connection is lost would end at its next word.
    status=0
    (umask 022 && exec sh "$work/content" </dev/null >"$work/out" 2>"$work/err" 9>&-) || status=$?
    cat "$work/err" >&2 || true
    cat "$work/out" || true
    return "$status"
}

case "${1-}" in
put | run)
    what=$1
    shift
    "$what" "$@"
    ;;
*) fail "usage: heat-scaleout put PATH MODE OWNER:GROUP [CHECK …] | run NAME" ;;
esac
