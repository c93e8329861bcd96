# With each health check the proxy sends its state of this API and the number of the API's requests in progress, such as
# "UP 2/3; …; scur=1/4; …", and uWSGI writes it to its log: templates/heat/uwsgi.ini.j2. Only the proxy's own address
# is trusted.

# proxy_checks UNIT SINCE: the last such state since a time that journalctl understands; empty without a proxy.
proxy_checks() {
    journalctl --unit "$1" --since "$2" --output cat --no-pager |
        sed -n 's/^{{ proxy | replace(".", "\\.") }} "GET \/healthcheck [^"]*" .* "\([A-Z][^"]*; scur=[^"]*\)"$/\1/p' | tail -n 1
}

# drained UNIT: whether the proxy sends no more requests, and the earlier ones have ended.
drained() {
    # A proxy checks every few seconds. Without a check for so long there is no proxy, or it is down itself.
    case "$(proxy_checks "$1" -30s)" in "") journal_complete "$1" 30 ;; NOLB*" scur=0/"* | DOWN*" scur=0/"*) ;; *) return 1 ;; esac
}

# serving UNIT SINCE: whether the proxy sends requests.
serving() {
    case "$(proxy_checks "$1" "$2")" in UP*) ;; *) return 1 ;; esac
}
