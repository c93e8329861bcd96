#!/bin/sh
# memcached, tested at the address that the nodes use: without memcached every request costs a call of Keystone, and no
# log mentions it.
set -eu

address=10.0.0.1
port=11211

# Functions for the scripts of this directory. This script's files: c0f99ae030ec4f0e939748653f6c9cf7201b66f297faf98a8e1c9ed55618f503

# stamps UNIT FILE …: record the digests of the files that UNIT reads, at each start of the unit, also after a reboot.
# systemd writes them to /run/heat-scaleout/UNIT/read, which only root can read. $on_reload is "yes" for a unit that
# reads its files again at a reload.
stamps() {
    stamped=$1
    shift
    stamp=/run/heat-scaleout/$stamped/read
    write="+/bin/sh -c \"umask 022 && install -d ${stamp%/*} && rm -f $stamp && umask 077 && exec sha256sum $* >$stamp\""
    text=$(printf '# Managed by heat-scaleout: changes are overwritten.\n[Service]\nExecStartPre=%s' "$write")
    [ "${on_reload-}" != yes ] || text=$(printf '%s\nExecReload=%s' "$text" "$write")
    dropin=/etc/systemd/system/$stamped.service.d/heat-scaleout-stamp.conf
    [ "$(cat "$dropin" 2>/dev/null)" != "$text" ] || return 0
    mkdir -p "${dropin%/*}"
    printf '%s\n' "$text" >"$dropin"
    systemctl daemon-reload
}

# say_why UNIT MESSAGE...: end with a message for the operator and the last lines of the unit's journal, and of
# $log_file if the service writes one.
say_why() {
    unit=$1
    shift
    {
        printf '%s\n' "$*"
        printf 'The last lines of %s:\n' "$unit"
        journalctl --unit "$unit" --lines 20 --no-pager --output short-iso 2>&1 || true
        if [ -n "${log_file:-}" ]; then
            # By the directory's owner: as root, a link in the directory could show any file.
            runuser -u "$(stat -c %U "${log_file%/*}")" -- tail -n 20 "$log_file" 2>&1 || true
        fi
    } >&2
    exit 1
}

# converge_service UNIT FILE...: enable the unit, and run it with its current files. A running unit is restarted only if
# the contents of its files have changed since its last start, and reloaded if only $reload_for, a further file, has
# changed. $started is "yes" after a start or a restart.
converge_service() {
    unit=$1
    shift
    on_reload=${reload_for:+yes}
    stamps "${unit%.service}" "$@" ${reload_for:+"$reload_for"}
    # The stamp of a unit that an earlier version of this program has started.
    earlier=/var/lib/heat-scaleout/started/$unit
    contents=$(sha256sum "$@" ${reload_for:+"$reload_for"})
    started=no
    systemctl --quiet is-enabled "$unit" 2>/dev/null || systemctl --quiet enable "$unit"
    if systemctl --quiet is-active "$unit"; then
        if [ ! -e "$stamp" ] && [ -e "$earlier" ]; then
            (umask 022 && mkdir -p "${stamp%/*}" && umask 077 && cat "$earlier" >"$stamp")
        fi
        rm -f "$earlier"
        if [ "$contents" = "$(cat "$stamp" 2>/dev/null)" ]; then
            return 0
        fi
        if [ -n "${reload_for:-}" ] && [ "$(sha256sum "$@")" = "$(grep -v "  $reload_for\$" "$stamp" 2>/dev/null)" ]; then
            systemctl reload "$unit" 2>/dev/null || say_why "$unit" "$unit does not reload."
            return 0
        fi
    fi
    systemctl reset-failed "$unit" 2>/dev/null || true
    systemctl restart "$unit" 2>/dev/null || say_why "$unit" "$unit does not start."
    # shellcheck disable=SC2034 # not every script reads it
    started=yes
}
# limit_memory UNIT SIZE: apply the limit in a unit's drop-in to the running unit, without a restart.
limit_memory() {
    systemctl daemon-reload
    systemctl set-property --runtime "$1" "MemoryMax=$2"
    # set-property writes another file of the unit, which systemd has not read yet.
    systemctl daemon-reload
}

converge_service memcached.service /etc/memcached.conf
limit_memory memcached.service 512M

python3 -I - "$address" "$port" <<'PYTHON' || say_why memcached.service "memcached at $address:$port does not store a value."
import contextlib
import socket
import sys
import time

end = time.monotonic() + 20
while True:
    with contextlib.suppress(OSError), socket.create_connection((sys.argv[1], int(sys.argv[2])), 2) as server:
        answers = server.makefile("rb")
        server.sendall(b"set heat-scaleout 0 10 2\r\nok\r\nget heat-scaleout\r\n")
        if [answers.readline() for _ in range(3)] == [b"STORED\r\n", b"VALUE heat-scaleout 0 2\r\n", b"ok\r\n"]:
            sys.exit(0)
    if time.monotonic() > end:
        sys.exit(1)
    time.sleep(0.2)
PYTHON
