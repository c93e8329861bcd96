# holder ADDRESS PORT UNIT: print the process, other than UNIT's own, that listens on UNIT's port, such as "nginx
# (process 812)", or nothing if the port is free. A socket reports the control group that created it, and thus its unit,
# even where root cannot see its process, as in a container.
holder() {
    ss -Hltnp --cgroup "sport = :$2" | awk -v own="$1:$2" -v all="0.0.0.0:$2" -v any="*:$2" '$4 == own || $4 == all || $4 == any' |
        while read -r socket; do
            case "$socket " in
            # Users may create control groups with any name below their own.
            *" cgroup:"*"/user.slice/"*) ;;
            *" cgroup:"*"/system.slice/$3.service "* | *" cgroup:"*"/system.slice/"*".slice/$3.service "*) continue ;;
            esac
            pid=$(echo "$socket" | sed -n 's/.*,pid=\([0-9]*\),.*/\1/p')
            if [ -z "$pid" ]; then
                group=$(echo "$socket" | sed -n 's/.* cgroup:[^ ]*\/\([^/ ]*\).*/\1/p')
                echo "a process that cannot be seen from here${group:+ ($group)}"
            elif grep -qsF "/user.slice/" "/proc/$pid/cgroup" || ! grep -qsF "/$3.service" "/proc/$pid/cgroup"; then
                echo "$(cat "/proc/$pid/comm") (process $pid)"
            fi
        done | head -n 1
}
