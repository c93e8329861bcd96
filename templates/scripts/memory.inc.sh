# limit_memory UNIT SIZE: have a running unit keep to a limit that its drop-in says, without a restart.
limit_memory() {
    systemctl daemon-reload
    systemctl set-property --runtime "$1" "MemoryMax=$2"
    # What set-property writes is a file of the unit too, newer than what systemd has read of it.
    systemctl daemon-reload
}
