# What this node's Heat makes of its messaging options.
# The plan and its files: 8383cc878af788c682bbdac1e74044f643c116dd7e0f2379b45879464f6fa3f1
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
