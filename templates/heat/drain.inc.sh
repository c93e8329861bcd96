# With each health check the proxy says in which state it sees this API and how many of its requests are under way
# there, such as "UP 2/3; …; scur=1/4; …", and uWSGI writes it into its log: templates/heat/uwsgi.ini.j2.

# proxied UNIT SINCE: the last such word since a time that journalctl understands; nothing where no proxy asks.
proxied() {
    journalctl --unit "$1" --since "$2" --output cat --no-pager |
        sed -n 's/.*"GET \/healthcheck [^"]*" .* "\([A-Z].*; scur=.*\)"$/\1/p' | tail -n 1
}

# drain UNIT SECONDS: have the proxy send no more requests, and wait until those under way have ended; after so many
# seconds they end while the process stops.
drain() {
    : >"/run/$(echo "$1" | tr @ -)/down"
    deadline=$(($(date +%s) + $2))
    while [ "$(date +%s)" -lt "$deadline" ]; do
        # A proxy asks every few seconds: one that has not for so long is none, or is down itself.
        case "$(proxied "$1" -30s)" in "" | DOWN*" scur=0/"*) return ;; esac
        sleep 0.2
    done
}

# returned UNIT SINCE SECONDS: wait until the proxy sends requests again.
returned() {
    deadline=$(($(date +%s) + $3))
    until case "$(proxied "$1" "$2")" in UP*) ;; *) false ;; esac; do
        [ "$(date +%s)" -lt "$deadline" ] || return 1
        sleep 0.2
    done
}
