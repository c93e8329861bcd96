# What this node's Heat makes of its messaging options.
# The plan and its files: 79c34da64d4d0990a68d68310bdce85b60a2a61ce8536eb7bed87774aa01337b
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
