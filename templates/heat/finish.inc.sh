# stacks_in_work UNIT NAME: the stacks that an engine works on, one on each line.
stacks_in_work() {
    {{ prefix }}/bin/python {{ work }} "$2" "/etc/heat/processes/$1/heat.conf" "/etc/heat/processes/$1/secrets.conf" 2>&1
}

# stop_gracefully UNIT NAME SECONDS: stop an engine when its work is done, never before. If that takes longer, list its
# stacks and fail. The engine continues until its work is done.
stop_gracefully() {
    dropin=/run/systemd/system/$1.service.d/finish.conf
    mkdir -p "${dropin%/*}"
    printf '[Service]\nTimeoutStopSec=infinity\n' >"$dropin"
    systemctl daemon-reload
    systemctl --no-block stop "$1"
    deadline=$(($(date +%s) + $3))
    until case "$(systemctl is-active "$1")" in inactive | failed) true ;; *) false ;; esac; do
        if [ "$(date +%s)" -ge "$deadline" ]; then
            {
                echo "$1 on {{ node }} ({{ address }}) did not stop within $3 s. It accepts no new work and exits when these stacks finish:"
                stacks_in_work "$1" "$2" | sed 's/^/  /'
                echo "Type pulumi up again then, or allow more time: pulumi config set --path timeouts.engineGraceful"
            } >&2
            return 1
        fi
        sleep 0.2
    done
    rm -rf "${dropin%/*}"
    systemctl daemon-reload
}
