# at_work UNIT NAME: the stacks that an engine has work of in hand, one on each line.
at_work() {
    {{ prefix }}/bin/python {{ work }} "$2" "/etc/heat/processes/$1/heat.conf" "/etc/heat/processes/$1/secrets.conf" 2>&1
}

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
            {
                echo "$1 on {{ node }} ({{ address }}) has had $3 s to do what it has in hand, and has not stopped yet."
                echo "It goes on with it and takes up nothing else; nothing is cut off. It is at these stacks:"
                at_work "$1" "$2" | sed 's/^/  /'
                echo "Type pulumi up again when it is done, or give it more: pulumi config set --path timeouts.engineGraceful"
            } >&2
            return 1
        fi
        sleep 0.2
    done
    rm -rf "${dropin%/*}"
    systemctl daemon-reload
}
