# What this node's Heat makes of its messaging options.
# The plan and its files: 6a6d42f84f4f1df3502f214bdd3cee775813d1f4b2b270fef73ae4a77c8311d4
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
