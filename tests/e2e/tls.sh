#!/bin/sh
# tls.sh ADDRESS: on a host with a control plane, make database, broker and Keystone also listen with TLS, with a
# certificate from an authority of their own: /srv/tls/ca.pem.
set -eu
mkdir -p /srv/tls
cd /srv/tls
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=authority -keyout ca.key -out ca.pem 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj /CN=front -keyout key.pem -out request 2>/dev/null
echo "subjectAltName=IP:$1" >extensions
openssl x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile extensions -out cert.pem 2>/dev/null
# Database and broker run as users of their own.
chmod 0644 key.pem
cat cert.pem key.pem >both.pem

cat >/etc/mysql/mariadb.conf.d/90-tls.cnf <<'END'
[mysqld]
ssl_cert=/srv/tls/cert.pem
ssl_key=/srv/tls/key.pem
ssl_ca=/srv/tls/ca.pem
END
systemctl restart mariadb

mkdir -p /etc/rabbitmq/conf.d
cat >/etc/rabbitmq/conf.d/90-tls.conf <<'END'
listeners.ssl.default = 5671
ssl_options.cacertfile = /srv/tls/ca.pem
ssl_options.certfile = /srv/tls/cert.pem
ssl_options.keyfile = /srv/tls/key.pem
END
systemctl restart rabbitmq-server

cat >haproxy.cfg <<END
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen keystone
    bind :5443 ssl crt /srv/tls/both.pem
    server keystone $1:5000
END
haproxy -D -f haproxy.cfg
