# What this node's Heat makes of its messaging options.
# The plan and its files: e767dbebfca29a5ebfc30de14da2114021762f7984db16de723e28511e398d38
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
