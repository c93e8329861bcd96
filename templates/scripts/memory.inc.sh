# limit_memory UNIT SIZE: apply the limit in a unit's drop-in to the running unit, without a restart.
limit_memory() {
    systemctl daemon-reload
    systemctl set-property --runtime "$1" "MemoryMax=$2"
    # set-property writes another file of the unit, which systemd has not read yet.
    systemctl daemon-reload
}
