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
