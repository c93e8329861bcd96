# The proxy asks an API every few seconds whether it is well, and what serves the API writes that into its log, in
# another form than what comes for clients. What the proxy makes of the answers it does not say, or there is no place for
# it in that log, so they are counted as it counts them.

# asked UNIT SINCE: who has asked since a time that journalctl understands, and what the answer was, a line for each.
asked() {
    journalctl --unit "$1" --since "$2" --output cat --no-pager |
{% if console %}
        sed -n 's/.* \([0-9.]*\) - - \[[^]]*\] "GET \/healthcheck [^"]*" \([0-9]*\) .*/\1 \2/p' |
{% else %}
        sed -n 's/^\([0-9.]*\) "GET \/healthcheck [^"]*" \([0-9]*\) .* "-\{0,1\}"$/\1 \2/p' |
{% endif %}
{% if proxy %}
        awk -v proxy={{ proxy | sh }} '$1 == proxy'
{% else %}
        awk -v own={{ address | sh }} '$1 != own'
{% endif %}
}

# proxied UNIT SINCE: the addresses that asked; nothing where no proxy does.
proxied() {
    asked "$1" "$2" | cut -d ' ' -f 1 | sort -u
}

# told UNIT SINCE STATUS TIMES: whether everyone who asked was answered so, so many times in a row by now.
told() {
    asked "$1" "$2" | awk -v status="$3" -v times="$4" '
        { row[$1] = $2 == status ? row[$1] + 1 : 0 }
        END { for (who in row) { some = 1; if (row[who] < times) exit 1 } exit !some }'
}

# out UNIT: whether the proxy sends no more requests, or nobody asks.
{% if console %}
# Those under way have ended then: this process does not wait for them when it stops.
{% else %}
# Those under way end while the process stops, which has time for them.
{% endif %}
out() {
    if [ -z "$(proxied "$1" -{{ monitor.window }}s)" ]; then
        heard "$1" {{ monitor.window }}
        return
    fi
    told "$1" -{{ monitor.window }}s 503 {{ monitor.down }}{% if console %} && [ -z "$(ss -Htn state established "sport = :${1#*@}")" ]{% endif %}

}

# back UNIT SINCE: whether it sends requests.
back() {
    told "$1" "$2" 200 {{ monitor.rise }}
}
