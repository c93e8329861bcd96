# What this node's Heat makes of its messaging options.
# The plan and its files: 078d1d3b5176c15e41e404b9ef4cfdd182e32d2d076ed42012ae4e1e9ba7b776
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
