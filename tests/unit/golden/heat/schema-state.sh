# The revision of the schema of Heat's database, and the newest revision of the installed release.
# The file that names the database: 403680b9eb4de6e7b65731d9f18e4d1f21331a8668a7a3f23ff840f7e7136c66
set -eu
exec runuser -u heat -- /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/schema.py look /etc/heat/heat.conf /etc/heat/secrets.conf
