# One place brings the schema of Heat's database up to the release that is installed, and only when it is behind.
# The engines of all nodes exchange messages of version 1.9. The file that names the database: 02c8c875e57d4e5b716e524fb0bc5366923e525872310ff8e1557041b2aee9b5
set -eu
runuser -u heat -- /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/schema.py sync /etc/heat/heat.conf /etc/heat/secrets.conf || {
    echo "The upgrade of the schema failed. The database as it was before is in /var/lib/heat-scaleout/dumps/heat-20260101T000000Z.sql.gz on the front host; docs/restore.md says how to restore it." >&2
    exit 1
}
