# The first thing that runs on a host: see that it can be used, wait until it has booted, and put the other end of the
# program's hand in place. Runs as the user that logs in, and changes nothing before everything has been looked at.
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
        refuse "user $user may not become root without a password; type there, as root: echo '$user ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/$user"
    fi
fi

[ -d /run/systemd/system ] || refuse "systemd, which is to run Heat's processes, does not run there"

# shellcheck source=/dev/null
system=$(. /etc/os-release && echo "${ID-} ${VERSION_ID-}") || system=
# shellcheck source=/dev/null
title=$(. /etc/os-release && echo "${PRETTY_NAME-}") || title=
case "$system" in
"debian 12" | "debian 13" | "ubuntu 24.04") ;;
"ubuntu 22.04")
    # One name at a time: dash looks at the first one only.
    { command -v python3.11 || command -v python3.12 || command -v python3.13; } >/dev/null ||
        refuse "Ubuntu 22.04 has Python 3.10, and Heat wants 3.11 or later; type there, as root: apt install python3.11"
    ;;
*) refuse "it runs ${title:-an unknown system}; wanted are Debian 12 or 13, or Ubuntu 22.04 or 24.04" ;;
esac

# What a host of ours has installed already is not wanted a second time. One line for each file system.
if [ ! -d /opt/uv ]; then
    while read -r free mounted; do
        [ "$free" -ge 2000 ] || refuse "only $free MB are free in $mounted; 2000 MB are wanted for packages, data and logs"
    done <<END_OF_DF
$(df -Pk /opt /usr /var | awk 'NR > 1 && !seen[$6]++ { print int($4 / 1024), $6 }')
END_OF_DF
fi

if [ -n "$problems" ]; then
    echo 'node-1 (10.0.0.2)'" cannot be used as it is:$problems" >&2
    exit 1
fi

# A VM may still be in its first boot; "degraded" only says that some unit failed, not that this one is not ready.
if command -v cloud-init >/dev/null; then cloud-init status --wait >/dev/null || true; fi
timeout 300 systemctl is-system-running --wait >/dev/null || true

# shellcheck disable=SC2016 # the inner shell's
$root sh -c '
    tmp=$(mktemp /usr/local/sbin/.heat-scaleout.XXXXXX) && cat >"$tmp" && chmod 0755 "$tmp" &&
        mv -f "$tmp" /usr/local/sbin/heat-scaleout' <<'END_OF_HEAT_SCALEOUT'
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
