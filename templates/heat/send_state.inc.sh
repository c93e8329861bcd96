# With each health check the proxy says in which state it sees this API and how many of its requests are under way
# there, such as "UP 2/3; …; scur=1/4; …", and uWSGI writes it into its log: templates/heat/uwsgi.ini.j2. Only the
# proxy's own address is believed.

# proxied UNIT SINCE: the last such word since a time that journalctl understands; nothing where no proxy asks.
proxied() {
    journalctl --unit "$1" --since "$2" --output cat --no-pager |
        sed -n 's/^{{ proxy | replace(".", "\\.") }} "GET \/healthcheck [^"]*" .* "\([A-Z][^"]*; scur=[^"]*\)"$/\1/p' | tail -n 1
}

# out UNIT: whether the proxy sends no more requests, and those under way have ended.
out() {
    # A proxy asks every few seconds: one that has not for so long is none, or is down itself.
    case "$(proxied "$1" -30s)" in "") heard "$1" 30 ;; NOLB*" scur=0/"* | DOWN*" scur=0/"*) ;; *) return 1 ;; esac
}

# back UNIT SINCE: whether it sends requests.
back() {
    case "$(proxied "$1" "$2")" in UP*) ;; *) return 1 ;; esac
}
