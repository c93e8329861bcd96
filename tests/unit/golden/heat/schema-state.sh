# The revision of the schema of Heat's database, and the newest that the installed release knows.
# The file that names the database: 05a1500bb3273126cea296ba2ccd3c76375ecb37941ef150e084baad4a952393
set -eu
exec runuser -u heat -- /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/schema.py look /etc/heat/heat.conf /etc/heat/secrets.conf
