# The first script on a host: check the host, wait until it has booted, and install the helper that receives files and
# scripts. Runs as the login user, and changes nothing before all checks have passed.
# In braces, so that the shell starts only after it has read the whole script, even if the connection is lost.
{
set -eu

problems=
refuse() {
    problems="$problems
  * $1"
}

root=
if [ "$(id -u)" != 0 ]; then
    root='sudo -n'
    user=$(id -un)
    if ! command -v sudo >/dev/null; then
        refuse "user $user is not root, and sudo is not installed: log in as root, or install it (apt install sudo)"
    elif ! $root true 2>/dev/null; then
        refuse "user $user may not use sudo without a password; type there, as root: echo '$user ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/$user"
    fi
fi

[ -d /run/systemd/system ] || refuse "systemd is not running, and Heat's processes need it"

# shellcheck source=/dev/null
system=$(. /etc/os-release && echo "${ID-} ${VERSION_ID-}") || system=
# shellcheck source=/dev/null
title=$(. /etc/os-release && echo "${PRETTY_NAME-}") || title=
case "$system" in
"debian 12" | "debian 13" | "ubuntu 24.04") ;;
"ubuntu 22.04")
    # One name per command: dash looks at the first one only.
    { command -v python3.11 || command -v python3.12 || command -v python3.13; } >/dev/null ||
        refuse "Ubuntu 22.04 has Python 3.10, and Heat needs 3.11 or later; type there, as root: apt install python3.11"
    ;;
*) refuse "it runs ${title:-an unknown system}; it must run Debian 12 or 13, or Ubuntu 22.04 or 24.04" ;;
esac

# An existing installation does not need the space again. One line per file system.
if [ ! -d /opt/uv ]; then
    while read -r free mounted; do
        [ "$free" -ge 2000 ] || refuse "only $free MB are free in $mounted; packages, data and logs need 2000 MB"
    done <<END_OF_DF
$(df -Pk /opt /usr /var | awk 'NR > 1 && !seen[$6]++ { print int($4 / 1024), $6 }')
END_OF_DF
fi

if [ -n "$problems" ]; then
    echo 'node-1 (10.0.0.2)'" cannot be used:$problems" >&2
    exit 1
fi

# A VM may still be in its first boot. "degraded" means that some unit failed; the host may be ready all the same.
if command -v cloud-init >/dev/null; then cloud-init status --wait >/dev/null || true; fi
timeout 300 systemctl is-system-running --wait >/dev/null || true

# shellcheck disable=SC2016 # the inner shell's
$root sh -c '
    tmp=$(mktemp /usr/local/sbin/.heat-scaleout.XXXXXX) && cat >"$tmp" && chmod 0755 "$tmp" &&
        mv -f "$tmp" /usr/local/sbin/heat-scaleout' <<'END_OF_HEAT_SCALEOUT'
#!/bin/sh
# The helper through which heat-scaleout copies files to this host and runs scripts on it. Their content comes on stdin,
# never on a command line.
#
#   heat-scaleout put PATH MODE OWNER:GROUP [CHECK …]   replace a file atomically with the content on stdin
#   heat-scaleout run NAME                              run the script on stdin
#
# The first line of stdin is "heat-scaleout-input BYTES", the length of the rest. Nothing happens before all of it has
# arrived: a lost connection delivers the beginning of a file or of a script, which looks like a complete one.
# put: CHECK is called with the path of the new content. If it fails, the old file stays.
# Two puts of one PATH never overlap, nor do two runs of one NAME. A run whose connection was lost continues, and the
# next run waits for it.
set -eu
umask 077
# Only root may enter $private, so that no other user can hold a lock or redirect a write. $state also has directories
# that others may enter, in which units record what they read: templates/scripts/stamp.inc.sh.
state=/run/heat-scaleout
private=$state/private

fail() {
    echo "heat-scaleout: $*" >&2
    exit 1
}

install -d -m 0755 "$state"
install -d -m 0700 "$private"
# Remove what killed calls left behind.
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

# is_earlier_teardown WHAT: whether this is the teardown script that an earlier version of the program stored in
# Pulumi's state. It has no first line, and is complete if it has its last one. `destroy` must work after an interrupted
# upgrade.
is_earlier_teardown() {
    case "$1: $(grep . "$work/content" | tail -n 1)" in
    "the script leave: rm -rf /etc/heat/secrets.conf /etc/heat/adopted") ;;
    "the script haproxy-leave: rm -f /run/haproxy/loaded.sha256" | "the script haproxy-leave: END_OF_SPEC") ;;
    *) return 1 ;;
    esac
}

# receive WHAT: read all of stdin into $work/content, or fail.
receive() {
    first=
    whole=no
    if IFS= read -r first; then whole=yes; fi
    length=${first#heat-scaleout-input }
    if [ "$whole" = no ] || [ "$length" = "$first" ]; then
        { printf '%s\n' "$first" && cat; } >"$work/content"
        if is_earlier_teardown "$1"; then return; fi
        fail "$1 arrived at $(hostname) without its first line, which has its length: the connection was lost, or another version of heat-scaleout sent it. Nothing was changed. Type: pulumi up"
    fi
    case "$length" in
    "" | *[!0-9]*) fail "$1 arrived at $(hostname) with an invalid first line. Nothing was changed. Type: pulumi up" ;;
    esac
    cat >"$work/content"
    arrived=$(wc -c <"$work/content")
    [ "$arrived" -eq "$length" ] ||
        fail "$arrived of the $length bytes of $1 arrived at $(hostname): the connection was lost. Nothing was changed. Type: pulumi up"
}

# lock NAME SECONDS: hold the lock NAME on descriptor 9 until this program ends, or fail after SECONDS.
lock() {
    exec 9>"$private/$(printf %s "$1" | tr / _).lock"
    flock -w "$2" 9
}

# take_back: make root the owner of Heat's directories. Each upgrade of Debian's Heat package gives the first one to
# Heat's user, who could then redirect what root writes there.
take_back() {
    for directory in /etc/heat /etc/heat/processes; do
        [ -d /etc/heat/processes ] || return 0
        [ ! -L "$directory" ] || fail "$directory on $(hostname) is a symbolic link, and another user may have created it. Nothing was changed. Check its target, and remove the link"
        [ "$(stat -c %u "$directory")" = 0 ] || { chown root:heat "$directory" && chmod 0750 "$directory"; }
    done
}

put() {
    path=$1 mode=$2 owner=$3
    shift 3
    receive "$path"
    take_back
    if [ $# -gt 0 ]; then
        "$@" "$work/content" </dev/null || fail "the check above refused the new $path on $(hostname). The old file stays"
    fi
    lock "put-$path" 60 || fail "another put of $path has been running for a minute on $(hostname)"
    if [ -f "$path" ] && [ ! -L "$path" ] && cmp -s "$work/content" "$path" &&
        [ "$(stat -c '%a %U:%G' "$path")" = "${mode#0} $owner" ]; then
        echo unchanged
        return
    fi
    (umask 022 && mkdir -p "$(dirname "$path")")
    staged=$(dirname "$path")/.$(basename "$path").heat-scaleout
    rm -f "$staged"
    # noclobber creates a new file or fails, and all later steps use its descriptor: a service's user who may write to
    # the directory cannot redirect the write by a link. Owner and mode come first, so that others can never read the
    # content.
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
    lock "run-$name" 900 || fail "another run of $name has been running for 15 minutes on $(hostname)"
    take_back
    # Output goes to files first: without a connection, the script would die at its next output.
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
END_OF_HEAT_SCALEOUT
}
