# What this node's Heat makes of its messaging options.
# The plan and its files: 8c759a45f8fca8b3e3c59981bd2ee1e1d9c34c2f3e5920c2ab3af849e9ceb308
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
