#!/bin/sh
# Keystone: its keys, its schema, its first administrator, then the service itself.
set -eu

url=http://10.0.0.1:5000/v3
public_url=http://10.0.0.1:5000/v3
region=RegionOne
venv=/opt/keystone/30.0.0
password=s3cr3t.keystone-admin...........

# What the scripts of this directory share.

# stamps UNIT FILE …: have systemd write down the digests of the files that UNIT reads, at each of its starts, whoever
# starts it and when: also after a restart of the host. They are in /run/heat-scaleout/UNIT/read, for root alone.
# $on_reload is "yes" for a unit that takes its files in at a reload too.
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
# $log_file for a service that writes one.
say_why() {
    unit=$1
    shift
    {
        printf '%s\n' "$*"
        printf 'The last lines of %s:\n' "$unit"
        journalctl --unit "$unit" --lines 20 --no-pager --output short-iso 2>&1 || true
        if [ -n "${log_file:-}" ]; then
            # By the user whose directory it is in: to root a link there would show any file.
            runuser -u "$(stat -c %U "${log_file%/*}")" -- tail -n 20 "$log_file" 2>&1 || true
        fi
    } >&2
    exit 1
}

# converge_service UNIT FILE...: have the unit enabled and running with what its files say now. A running unit is
# restarted only when the contents of its files differ from those it was last started with. $started says what was done.
converge_service() {
    unit=$1
    shift
    stamps "${unit%.service}" "$@"
    # One that was started by an earlier version of this program has its stamp there.
    earlier=/var/lib/heat-scaleout/started/$unit
    contents=$(sha256sum "$@")
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
    fi
    systemctl reset-failed "$unit" 2>/dev/null || true
    systemctl restart "$unit" 2>/dev/null || say_why "$unit" "$unit does not start."
    # shellcheck disable=SC2034 # not every script asks
    started=yes
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# manage NAME ARGUMENT...: keystone-manage as Keystone's own user, its output in a file to be shown on failure.
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

# Together, as each spends its time on loading Keystone. db_sync changes nothing when the schema is up to date.
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
wait "$sync" || give_up sync "Keystone cannot bring its database's schema up to date:"
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
