#!/bin/sh
# RabbitMQ with Heat's virtual hosts and user, and without the well-known user guest.
#
# The policy "heat-orphans" (in definitions.json) removes the queues of engines that are gone: each worker process has
# some, with a new id in their names at every start. A queue expires after half an hour without a consumer, like
# oslo.messaging's own reply queues. A live engine consumes all of its queues.
set -eu

user=heat
vhosts='heat heat-1.4'
definitions=/etc/rabbitmq/definitions.json
mapper=/etc/systemd/system/epmd.socket.d/heat-scaleout.conf
log_file=/var/log/rabbitmq/rabbit@localhost.log

# Functions for the scripts of this directory. This script's files: cd876c776f93f65f97d5cef4a1596d2836046e64309c8c2ec1340ef3899a658b

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

# If the port mapper is a separate unit, it may run already, on every address.
if systemctl --quiet is-enabled epmd.socket 2>/dev/null; then
    systemctl daemon-reload
    if ! ss -Hltn 'sport = :4369' | grep -q '127\.0\.0\.1:4369'; then
        systemctl stop epmd.socket epmd.service
        systemctl start epmd.socket || say_why epmd.socket "The port mapper of Erlang does not start."
    fi
fi

converge_service rabbitmq-server.service /etc/rabbitmq/rabbitmq.conf /etc/rabbitmq/rabbitmq-env.conf "$mapper"
limit_memory rabbitmq-server.service 2G

# A broker that has just started has read the definitions. A running broker imports them without a restart, whatever its
# users are. rabbitmqctl cannot check a password: with RabbitMQ 4 the command waits for ever for a password on a pipe.
[ "$started" = yes ] || rabbitmqctl --quiet import_definitions "$definitions" >/dev/null ||
    say_why rabbitmq-server.service "RabbitMQ refuses $definitions."
if rabbitmqctl --quiet --no-table-headers list_users | cut -f 1 | grep -qx guest; then
    rabbitmqctl --quiet delete_user guest
fi
for vhost in $vhosts; do
    rabbitmqctl --quiet --no-table-headers list_permissions --vhost "$vhost" | cut -f 1 | grep -qx -e "$user" ||
        say_why rabbitmq-server.service "RabbitMQ's user $user may not use the virtual host $vhost."
done
