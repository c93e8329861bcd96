# Read back the messaging options of this node's Heat.
# The plan and its files: 8954d4e3a35ddef03c6596f6ba7a50bd96a504346a757b483fe5e01018647ed1
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
