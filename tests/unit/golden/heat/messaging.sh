# What this node's Heat makes of its messaging options.
# The plan and its files: 4b65576c144edb0e850a90f6e9049f93d0be69595c0d528cf0e5a47a6a9c7b9a
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
