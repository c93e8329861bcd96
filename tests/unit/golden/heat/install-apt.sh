# Heat from the distribution's packages, with links to it below our prefix.
set -eu
# packages NAME …: install the missing packages. The lists are fetched only if a package is missing. The lock is for
# both steps: apt itself waits for other processes only in "install".
packages() {
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2016,SC2086 # the inner shell's; words
    output=$(DEBIAN_FRONTEND=noninteractive flock -w 600 /run/heat-scaleout/private/apt.lock sh -c '
        apt-get -qq -o DPkg::Lock::Timeout=600 update &&
            apt-get -qq -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold \
                install -y --no-install-recommends "$@"' sh $missing 2>&1) || {
        echo "apt-get cannot install$missing on $(hostname):" >&2
        echo "$output" | tail -n 20 >&2
        return 1
    }
}
# The logins were removed from the settings.
rm -f /etc/heat-scaleout/.netrc
# installed: the end of every installation: Heat's user, the list of options that each configuration file is checked
# against, and the report of what is installed.
installed() {
    getent passwd heat >/dev/null || useradd --system --home-dir /var/lib/heat --shell /usr/sbin/nologin heat
    install -d -o heat -g heat -m 0750 /var/lib/heat
    /opt/heat/apt/bin/python /usr/local/lib/heat-scaleout/installed.py /opt/heat/apt/options.json
}

# The packages' own units must not start here: only planned processes of Heat run.
for unit in heat-engine heat-api heat-api-cfn; do
    if systemctl is-active --quiet "$unit.service"; then
        echo "$unit.service of the distribution runs on $(hostname) and is not planned. Type there, as root: systemctl disable --now $unit" >&2
        exit 1
    fi
    [ "$(systemctl is-enabled "$unit.service" 2>/dev/null)" = masked ] || systemctl --quiet mask "$unit.service" 2>/dev/null
done
packages heat-engine heat-api heat-api-cfn uwsgi-plugin-python3 python3-pymysql python3-pymemcache python3-memcache \
    python3-openstacksdk curl iproute2

# The package makes Heat's user the owner of its configuration. That user could redirect root's writes there.
chown -h root:heat /etc/heat
chmod 0750 /etc/heat

bin=/opt/heat/apt/bin
install -d "$bin" /opt/heat/apt/etc
for program in heat-engine heat-api heat-api-cfn heat-wsgi-api heat-wsgi-api-cfn heat-manage oslo-config-validator; do
    if [ -x "/usr/bin/$program" ]; then ln -sfn "/usr/bin/$program" "$bin/$program"; fi
done
ln -sfn /usr/bin/python3 "$bin/python"
ln -sfn /etc/heat /opt/heat/apt/etc/heat
# The distribution's uWSGI loads Python as a plugin, which has the version in its name.
plugin=$(python3 -c 'import sys; print("python%d%d" % sys.version_info[:2])')
printf '#!/bin/sh\nexec /usr/bin/uwsgi-core --plugin %s "$@"\n' "$plugin" >"$bin/uwsgi.new"
chmod 0755 "$bin/uwsgi.new"
mv "$bin/uwsgi.new" "$bin/uwsgi"
installed
