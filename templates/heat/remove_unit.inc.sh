# remove_unit UNIT: stop a process for good, and remove its unit and its files.
remove_unit() {
    systemctl --quiet disable --now "$1"
    systemctl reset-failed "$1" 2>/dev/null || true
    rm -rf "/etc/heat/processes/$1.conf" "/etc/heat/processes/$1" "/etc/systemd/system/$1.service" "/run/heat-scaleout/$1"
    systemctl daemon-reload
}
