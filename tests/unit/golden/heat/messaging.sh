# What this node's Heat makes of its messaging options.
# The plan and its files: c6aa8e6caafaf6e465cc22b38aa1793cb2d1a5de76d0d9b8b6d915befc817028
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
