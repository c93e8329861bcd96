# installed: the end of every installation: Heat's user, the list of options that each configuration file is checked
# against, and the report of what is installed.
installed() {
    getent passwd heat >/dev/null || useradd --system --home-dir /var/lib/heat --shell /usr/sbin/nologin heat
    install -d -o heat -g heat -m 0750 /var/lib/heat
{% if console %}
    for program in {{ apis | join(" ") }}; do
        if [ ! -x {{ prefix | sh }}/bin/"$program" ]; then
            echo {{ ("Heat " + title) | sh }}" on $(hostname) has no program $program any more: its APIs run under uWSGI (apiRunner)" >&2
            exit 1
        fi
    done
{% endif %}
    {{ prefix | sh }}/bin/python {{ program }} {{ prefix | sh }}/options.json
}
