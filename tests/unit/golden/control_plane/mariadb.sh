#!/bin/sh
# MariaDB with the databases of the control plane, each with its own user, who has no other rights.
#
# Heat's tables inherit the character set of their database: utf8mb4. Keystone's migrations make utf8mb3 tables ("utf8"),
# so its database is utf8mb3 from the start: foreign keys do not work between two character sets.
set -eu

address=10.0.0.1
port=3306
# shellcheck disable=SC2016 # the backquotes are SQL
sql='CREATE DATABASE IF NOT EXISTS `heat` CHARACTER SET utf8mb4
    COLLATE utf8mb4_general_ci;
CREATE USER IF NOT EXISTS "heat"@"%" IDENTIFIED BY "s3cr3t.database-heat............";
ALTER USER "heat"@"%" IDENTIFIED BY "s3cr3t.database-heat............";
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES, TRIGGER
    ON `heat`.* TO "heat"@"%";
CREATE DATABASE IF NOT EXISTS `keystone` CHARACTER SET utf8mb3
    COLLATE utf8mb3_general_ci;
CREATE USER IF NOT EXISTS "keystone"@"10.0.0.1" IDENTIFIED BY "s3cr3t.database-keystone........";
ALTER USER "keystone"@"10.0.0.1" IDENTIFIED BY "s3cr3t.database-keystone........";
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES, TRIGGER
    ON `keystone`.* TO "keystone"@"10.0.0.1";
'

# Functions for the scripts of this directory. This script's files: 3cf556bc9fcd9453501324769185f43555503c0b9c2a85c2ea025be04d12cb36

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

converge_service mariadb.service /etc/mysql/mariadb.conf.d/99-heat-scaleout.cnf
limit_memory mariadb.service 4G

# No anonymous users, and root only from this host.
strays=$(
    mariadb --batch --skip-column-names <<'SQL'
SELECT CONCAT('DROP USER ', QUOTE(user), '@', QUOTE(host), ';') FROM mysql.user
WHERE user = '' OR (user = 'root' AND host NOT IN ('localhost', '127.0.0.1', '::1'));
SQL
)
printf 'SET sql_mode = "";\n%s\n%s\n' "$strays" "$sql" | mariadb || say_why mariadb.service \
    "MariaDB cannot make the databases or their users."

log_in() {
    # The password is in the environment of root's process, which only root can read.
    MYSQL_PWD=$2 mariadb --no-defaults --protocol tcp --host "$address" --port "$port" --user "$1" \
        --execute 'SELECT 1' "$3" >/dev/null || say_why mariadb.service \
        "User $1 cannot log in to MariaDB at $address:$port and use the database $3."
}
log_in heat s3cr3t.database-heat............ heat
log_in keystone s3cr3t.database-keystone........ keystone
