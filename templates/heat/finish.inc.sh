# finish UNIT NAME SECONDS: stop an engine when it has done what it has in hand, and never before. Where that takes
# longer, it says which stacks it is at, and fails; the engine goes on until it has done it.
finish() {
    dropin=/run/systemd/system/$1.service.d/finish.conf
    mkdir -p "${dropin%/*}"
    printf '[Service]\nTimeoutStopSec=infinity\n' >"$dropin"
    systemctl daemon-reload
    systemctl --no-block stop "$1"
    deadline=$(($(date +%s) + $3))
    until case "$(systemctl is-active "$1")" in inactive | failed) true ;; *) false ;; esac; do
        if [ "$(date +%s)" -ge "$deadline" ]; then
            own=/etc/heat/processes/$1
            {
                echo "$1 on {{ node }} ({{ address }}) has had $3 s to do what it has in hand, and is still at these stacks:"
                {{ prefix }}/bin/python {{ work }} "$2" "$own/heat.conf" "$own/secrets.conf" 2>&1 | sed 's/^/  /'
                echo "It goes on with them and takes up nothing else; none is cut off. To wait longer: pulumi config set --path timeouts.engineGraceful"
            } >&2
            return 1
        fi
        sleep 0.2
    done
    rm -rf "${dropin%/*}"
    systemctl daemon-reload
}
