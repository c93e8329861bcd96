# The proxy checks an API's health every few seconds, and the API's server writes the checks to its log, in another form
# than clients' requests. This proxy does not report its state, or that log has no place for it. So the answers are counted
# here as the proxy counts them.

# health_checks UNIT SINCE: the health checks since a time that journalctl understands: address and status, a line for each.
health_checks() {
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

# proxy_checks UNIT SINCE: the addresses that sent health checks; empty without a proxy.
proxy_checks() {
    health_checks "$1" "$2" | cut -d ' ' -f 1 | sort -u
}

# answered UNIT SINCE STATUS TIMES: whether the last TIMES checks of each address had this STATUS.
answered() {
    health_checks "$1" "$2" | awk -v status="$3" -v times="$4" '
        { row[$1] = $2 == status ? row[$1] + 1 : 0 }
        END { for (who in row) { some = 1; if (row[who] < times) exit 1 } exit !some }'
}

# drained UNIT: whether the proxy sends no more requests, or there is no proxy.
{% if console %}
# The earlier requests have ended then, because this process does not wait for them when it stops.
{% else %}
# The earlier requests end while the process stops.
{% endif %}
drained() {
    if [ -z "$(proxy_checks "$1" -{{ monitor.window }}s)" ]; then
        journal_complete "$1" {{ monitor.window }}
        return
    fi
    answered "$1" -{{ monitor.window }}s 503 {{ monitor.down }}{% if console %} && [ -z "$(ss -Htn state established "sport = :${1#*@}")" ]{% endif %}

}

# serving UNIT SINCE: whether the proxy sends requests.
serving() {
    answered "$1" "$2" 200 {{ monitor.rise }}
}
