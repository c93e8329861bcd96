#!/bin/sh
# Keystone: keys, schema and first administrator, then the service and the proxy in front of it.
set -eu

url=http://10.0.0.1:5000/v3
public_url=http://10.0.0.1:5000/v3
region=RegionOne
venv=/opt/keystone/30.0.0
password=s3cr3t.keystone-admin...........
address=10.0.0.1
port=5000

# Functions for the scripts of this directory. This script's files: a40f78f19833dce06aa044c0490fb98b5fb345d47a710ede60a95eba094477a8

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
# holder ADDRESS PORT UNIT: print the process, other than UNIT's own, that listens on UNIT's port, such as "nginx
# (process 812)", or nothing if the port is free. A socket reports the control group that created it, and thus its unit,
# even where root cannot see its process, as in a container.
holder() {
    ss -Hltnp --cgroup "sport = :$2" | awk -v own="$1:$2" -v all="0.0.0.0:$2" -v any="*:$2" '$4 == own || $4 == all || $4 == any' |
        while read -r socket; do
            case "$socket " in
            # Users may create control groups with any name below their own.
            *" cgroup:"*"/user.slice/"*) ;;
            *" cgroup:"*"/system.slice/$3.service "* | *" cgroup:"*"/system.slice/"*".slice/$3.service "*) continue ;;
            esac
            pid=$(echo "$socket" | sed -n 's/.*,pid=\([0-9]*\),.*/\1/p')
            if [ -z "$pid" ]; then
                group=$(echo "$socket" | sed -n 's/.* cgroup:[^ ]*\/\([^/ ]*\).*/\1/p')
                echo "a process that cannot be seen from here${group:+ ($group)}"
            elif grep -qsF "/user.slice/" "/proc/$pid/cgroup" || ! grep -qsF "/$3.service" "/proc/$pid/cgroup"; then
                echo "$(cat "/proc/$pid/comm") (process $pid)"
            fi
        done | head -n 1
}
# give_up_dump MESSAGE: end before the schema is touched.
give_up_dump() {
    echo "$1 The schema has not been changed." >&2
    exit 1
}

# dump_database DATABASE: dump a database into a compressed file that only root can read, and set $dump to its path.
# Restored by: zcat FILE | mariadb. The dump is one transaction, so running services continue meanwhile.
dump_database() {
    dumps=/var/lib/heat-scaleout/dumps
    mkdir -p "$dumps"
    chmod 0700 "$dumps"
    dump=$dumps/$1-$(date -u +%Y%m%dT%H%M%SZ).sql.gz
    # The size of the tables, which is more than their compressed dump, and 100 MB that stay free.
    kilobytes=$(mariadb --batch --skip-column-names --execute "SELECT CEIL(COALESCE(SUM(data_length + index_length), 0) / 1024)
        FROM information_schema.tables WHERE table_schema = '$1'")
    free=$(df --output=avail --block-size=1K "$dumps" | tail -n 1 | tr -d ' ')
    if [ "$free" -lt $((kilobytes + 102400)) ]; then
        give_up_dump "The database $1 needs a dump before its schema is upgraded. $dumps on $(hostname) has $free KB free and needs $((kilobytes + 102400)) KB: make room there."
    fi
    rm -f "$dumps"/.partial*
    partial=$(mktemp "$dumps/.partial.XXXXXX")
    # With the statements that drop and remake the database, so that a restore removes what a later schema has added.
    {
        mariadb-dump --single-transaction --quick --hex-blob --routines --triggers --add-drop-database \
            --databases "$1" || echo failed >"$partial.failed"
    } | gzip >"$partial"
    if [ -e "$partial.failed" ] || ! zcat "$partial" | tail -n 1 | grep -q '^-- Dump completed'; then
        rm -f "$partial" "$partial.failed"
        give_up_dump "The database $1 needs a dump before its schema is upgraded. mariadb-dump failed on $(hostname); its error is above."
    fi
    sync "$partial"
    mv "$partial" "$dump"
    # Keep the newest 5 dumps.
    find "$dumps" -maxdepth 1 -name "$1-*.sql.gz" | sort -r | tail -n +6 | while read -r old; do rm -f "$old"; done
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# manage NAME ARGUMENT...: run keystone-manage as Keystone's own user, with its output in a file for failures.
manage() {
    log=$work/$1
    shift
    runuser -u keystone -- "$venv/bin/keystone-manage" "$@" >"$log" 2>&1
}

# give_up NAME MESSAGE
give_up() {
    printf '%s\n' "$2" >&2
    tail -n 20 "$work/$1" >&2
    exit 1
}

# An older schema is upgraded below, and only a dump can undo that. A new database needs no dump.
tables=$(mariadb --batch --skip-column-names --execute "SELECT COUNT(*) FROM information_schema.tables
    WHERE table_schema = 'keystone'")
dump=
if [ "$tables" -gt 0 ] && ! manage check db_sync --check; then
    dump_database keystone
    echo "The schema of Keystone's database is upgraded to release 30.0.0. A dump of the database before the upgrade, on $(hostname): $dump"
fi

# In parallel, because each command spends its time on loading Keystone. db_sync changes nothing in a current schema.
manage sync db_sync &
sync=$!
fernet=
if [ ! -e /etc/keystone/fernet-keys/0 ]; then
    manage fernet fernet_setup --keystone-user keystone --keystone-group keystone &
    fernet=$!
fi
credential=
if [ ! -e /etc/keystone/credential-keys/0 ]; then
    manage credential credential_setup --keystone-user keystone --keystone-group keystone &
    credential=$!
fi
wait "$sync" || give_up sync "Keystone cannot upgrade its database's schema${dump:+. A dump of the database before is in $dump. To restore it, follow docs/restore.md}:"
if [ -n "$fernet" ]; then
    wait "$fernet" || give_up fernet "Keystone cannot make the keys of its tokens:"
fi
if [ -n "$credential" ]; then
    wait "$credential" || give_up credential "Keystone cannot make the keys of its credentials:"
fi

(
    OS_BOOTSTRAP_PASSWORD=$password
    export OS_BOOTSTRAP_PASSWORD
    manage bootstrap bootstrap --bootstrap-region-id "$region" --bootstrap-public-url "$public_url" \
        --bootstrap-internal-url "$url" --bootstrap-admin-url "$url"
) &
bootstrap=$!
systemctl daemon-reload
# Before it had a proxy, Keystone itself listened on this address. It must stop to free the address. Connections are
# refused until the proxy runs; then requests wait in the proxy until Keystone runs again.
if ! systemctl --quiet is-active keystone-proxy.service; then
    if systemctl --quiet is-active keystone.service && [ -n "$(holder "$address" "$port" keystone-proxy)" ]; then
        systemctl stop keystone.service
    fi
    other=$(holder "$address" "$port" keystone-proxy)
    [ -z "$other" ] || say_why keystone-proxy.service "Keystone's port $port is taken by $other."
fi
reload_for=/etc/keystone-proxy/haproxy.cfg
converge_service keystone-proxy.service /etc/systemd/system/keystone-proxy.service
reload_for=
converge_service keystone.service /etc/keystone/keystone.conf /etc/keystone/keystone.conf.d/secrets.conf \
    /etc/keystone/keystone-uwsgi.ini /etc/systemd/system/keystone.service "$venv/requirements.txt"
wait "$bootstrap" || give_up bootstrap "Keystone cannot make its first administrator:"

python3 -I - "$url" <<'PYTHON' || say_why keystone.service "Keystone does not answer at $url."
import contextlib
import sys
import time
import urllib.request

straight = urllib.request.build_opener(urllib.request.ProxyHandler({}))
end = time.monotonic() + 60
while True:
    with contextlib.suppress(OSError), straight.open(sys.argv[1], timeout=10) as answer:
        if answer.status == 200:
            sys.exit(0)
    if time.monotonic() > end:
        sys.exit(1)
    time.sleep(0.2)
PYTHON
