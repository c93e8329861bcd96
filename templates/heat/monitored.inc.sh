# Octavia asks an API every few seconds whether it is well, and uWSGI writes that into its log, apart from what it has
# for clients: templates/heat/uwsgi.ini.j2. What it makes of the answers it does not say, so they are counted as it does.

# asked UNIT SINCE: who has asked since a time that journalctl understands, and what the answer was, a line for each.
asked() {
    journalctl --unit "$1" --since "$2" --output cat --no-pager |
        sed -n 's/^\([0-9.]*\) "GET \/healthcheck [^"]*" \([0-9]*\) .* "-\{0,1\}"$/\1 \2/p' |
        awk -v own={{ address | sh }} '$1 != own'
}

# proxied UNIT SINCE: the addresses that asked; nothing where no load balancer does.
proxied() {
    asked "$1" "$2" | cut -d ' ' -f 1 | sort -u
}

# told UNIT SINCE STATUS TIMES: whether everyone who asked was answered so, so many times in a row by now.
told() {
    asked "$1" "$2" | awk -v status="$3" -v times="$4" '
        { row[$1] = $2 == status ? row[$1] + 1 : 0 }
        END { for (who in row) { some = 1; if (row[who] < times) exit 1 } exit !some }'
}

# drain UNIT SECONDS: have the load balancer send no more requests, for so long at most. Those under way end while the
# process stops, which has time for them.
drain() {
    : >"/run/$(echo "$1" | tr @ -)/down"
    deadline=$(($(date +%s) + $2))
    while [ "$(date +%s)" -lt "$deadline" ] && [ -n "$(proxied "$1" -{{ monitor.window }}s)" ]; do
        if told "$1" -{{ monitor.window }}s 503 {{ monitor.down }}; then return; fi
        sleep 0.2
    done
}

# returned UNIT SINCE SECONDS: wait until the load balancer sends requests again.
returned() {
    deadline=$(($(date +%s) + $3))
    while [ "$(date +%s)" -lt "$deadline" ]; do
        if told "$1" "$2" 200 {{ monitor.rise }}; then return; fi
        sleep 0.2
    done
    return 1
}
