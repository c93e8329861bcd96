# What this node's Heat makes of its messaging options.
# The plan and its files: a1a3c7edf8c84a3ceff85c93c643c2ac2016b99ab1438876cabef98e98ad2d20
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
