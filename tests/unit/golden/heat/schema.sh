# Upgrade the schema of Heat's database to the installed release, on one node, and only if the schema is older.
# The engines of all nodes exchange messages of version 1.9. The file that names the database: 403680b9eb4de6e7b65731d9f18e4d1f21331a8668a7a3f23ff840f7e7136c66
set -eu
runuser -u heat -- /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/schema.py sync /etc/heat/heat.conf /etc/heat/secrets.conf || {
    echo "The upgrade of the schema failed. A dump of the database before the upgrade is in /var/lib/heat-scaleout/dumps/heat-20260101T000000Z.sql.gz on the front host. To restore it, follow docs/restore.md." >&2
    exit 1
}
