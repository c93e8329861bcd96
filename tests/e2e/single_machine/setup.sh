#!/bin/sh
# OpenStack's Heat on one machine, as an operator sets it up by hand: with database, broker, cache and Keystone on the same
# machine, heat-api and heat-engine as systemd units, and heat-api-cfn as a process started from a shell. It uses nothing
# of heat-scaleout except the lists of packages, so that both run the same versions.
#
#   setup.sh ADDRESS    in the same directory: heat.conf, local.conf, identity.py, keystone.txt and heat.txt
set -eu
cd "$(dirname "$0")"
address=$1
heat=/opt/heat/27.0.1 keystone=/opt/keystone/30.0.0
export DEBIAN_FRONTEND=noninteractive UV_NO_CACHE=1 UV_PYTHON_INSTALL_DIR=/opt/uv/python
export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt

# venv PREFIX LIST: install Python packages if they are missing.
venv() {
    [ ! -x "$1/bin/uwsgi" ] || return 0
    /opt/operator-uv/bin/uv --quiet venv "$1"
    /opt/operator-uv/bin/uv --quiet pip sync --python "$1/bin/python" --require-hashes --compile-bytecode "$2"
}
if [ ! -x "$heat/bin/uwsgi" ] || [ ! -x "$keystone/bin/uwsgi" ]; then
    python3 -m venv /opt/operator-uv
    /opt/operator-uv/bin/pip --quiet --disable-pip-version-check install uv
fi
venv "$heat" heat.txt &
heat_venv=$!
venv "$keystone" keystone.txt &
keystone_venv=$!
if ! { command -v rabbitmqctl && command -v mariadbd && command -v memcached; } >/dev/null; then
    apt-get -qq update >/dev/null
    apt-get -qq install -y --no-install-recommends mariadb-server rabbitmq-server memcached >/dev/null
fi
wait "$heat_venv"
wait "$keystone_venv"

# Other machines can reach all services, as with devstack; Heat itself is configured with 127.0.0.1.
printf '[mysqld]\nbind-address = 0.0.0.0\nmax_connections = 1000\n' >/etc/mysql/mariadb.conf.d/99-operator.cnf
sed -i 's/^-l .*/-l 0.0.0.0/' /etc/memcached.conf
systemctl start rabbitmq-server &
broker=$!
systemctl restart mariadb memcached
mariadb <<'END_OF_SQL'
CREATE DATABASE keystone CHARACTER SET utf8mb3;
CREATE DATABASE heat CHARACTER SET utf8mb4;
GRANT ALL ON keystone.* TO keystone@localhost IDENTIFIED BY 'keystone-db';
GRANT ALL ON heat.* TO heat@'%' IDENTIFIED BY 'heat-db-s3cr3t';
END_OF_SQL
useradd --system --home-dir /var/lib/keystone --create-home keystone 2>/dev/null || true
install -d -o keystone -m 0700 /etc/keystone /etc/keystone/fernet-keys /etc/keystone/credential-keys
cat >/etc/keystone/keystone.conf <<'END_OF_CONF'
[database]
connection = mysql+pymysql://keystone:keystone-db@localhost/keystone
[identity]
password_hash_rounds = 8
[fernet_tokens]
key_repository = /etc/keystone/fernet-keys
[credential]
key_repository = /etc/keystone/credential-keys
END_OF_CONF
cat >/etc/systemd/system/keystone.service <<END_OF_UNIT
[Service]
Type=notify
User=keystone
ExecStart=$keystone/bin/uwsgi --http-socket 0.0.0.0:5000 --module keystone.wsgi.api:application --master --processes 2 --lazy-apps --buffer-size 65535 --add-header "Connection: close" --die-on-term
[Install]
WantedBy=multi-user.target
END_OF_UNIT
as_keystone() { runuser -u keystone -- "$keystone/bin/keystone-manage" "$@" >/dev/null 2>&1; }
as_keystone fernet_setup --keystone-user keystone --keystone-group keystone &
fernet=$!
as_keystone credential_setup --keystone-user keystone --keystone-group keystone &
credential=$!
as_keystone db_sync
wait "$fernet"
wait "$credential"
as_keystone bootstrap --bootstrap-password admin-s3cr3t --bootstrap-region-id RegionOne \
    --bootstrap-public-url "http://$address:5000/v3" --bootstrap-internal-url "http://$address:5000/v3" \
    --bootstrap-admin-url "http://$address:5000/v3"
systemctl daemon-reload
systemctl --quiet enable --now keystone

wait "$broker"
rabbitmqctl --quiet add_user stackrabbit rabbit-s3cr3t
rabbitmqctl --quiet set_permissions stackrabbit '.*' '.*' '.*'
useradd --system --home-dir /var/lib/heat --create-home heat 2>/dev/null || true
install -d -o heat -g heat -m 0750 /etc/heat /etc/heat/heat.conf.d /var/log/heat
install -o root -g heat -m 0640 heat.conf /etc/heat/heat.conf
install -o root -g heat -m 0640 local.conf /etc/heat/heat.conf.d/50-local.conf
cp -r "$heat/etc/heat/api-paste.ini" "$heat/etc/heat/environment.d" "$heat/etc/heat/templates" /etc/heat/
# The operator's own policy rules: without them the CFN API refuses everybody.
cat >/etc/heat/policy.yaml <<'END_OF_POLICY'
"cloudformation:ListStacks": "role:reader"
"stacks:index": "role:reader and project_id:%(project_id)s"
END_OF_POLICY
runuser -u heat -- "$heat/bin/heat-manage" db_sync >/dev/null 2>&1 &
schema=$!
until "$heat/bin/python" identity.py "http://127.0.0.1:5000/v3" "$address" 2>/tmp/identity; do
    grep -qE 'ConnectFailure|refused' /tmp/identity || { cat /tmp/identity >&2; exit 1; }
done
wait "$schema"

cat >/etc/systemd/system/heat-api.service <<END_OF_UNIT
[Service]
Type=notify
User=heat
KillSignal=SIGQUIT
ExecStart=$heat/bin/uwsgi --http-socket 0.0.0.0:8004 --module heat.wsgi.api:application --master --processes 2 --threads 4 --lazy-apps --buffer-size 65535 --add-header "Connection: close"
Restart=always
[Install]
WantedBy=multi-user.target
END_OF_UNIT
cat >/etc/systemd/system/heat-engine.service <<END_OF_UNIT
[Service]
Type=notify
User=heat
ExecStart=$heat/bin/heat-engine
KillMode=mixed
Restart=always
[Install]
WantedBy=multi-user.target
END_OF_UNIT
systemctl daemon-reload
systemctl --quiet enable --now heat-engine heat-api
cat >/root/start-cfn <<END_OF_START
#!/bin/sh
cd /var/lib/heat
export OPERATOR_SAYS='by hand, with a secret in its environment: env-s3cr3t'
exec setsid setpriv --reuid heat --regid heat --clear-groups $heat/bin/uwsgi --http-socket $address:8000 --module heat.wsgi.cfn:application --master --processes 1 --threads 2 --lazy-apps --buffer-size 65535 --add-header "Connection: close" </dev/null >>/var/log/heat/cfn.log 2>&1
END_OF_START
chmod +x /root/start-cfn
/root/start-cfn &
END=$(($(date +%s) + 60))
until curl -sf "http://$address:8000/healthcheck" && curl -sf "http://$address:8004/healthcheck"; do
    [ "$(date +%s)" -lt "$END" ] || { tail -n 20 /var/log/heat/cfn.log; journalctl -u heat-api -n 20; exit 1; } >&2
    sleep 0.2
done
