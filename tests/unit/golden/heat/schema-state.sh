# The revision of the schema of Heat's database, and the newest that the installed release knows.
# The file that names the database: 02c8c875e57d4e5b716e524fb0bc5366923e525872310ff8e1557041b2aee9b5
set -eu
exec runuser -u heat -- /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/schema.py look /etc/heat/heat.conf /etc/heat/secrets.conf
