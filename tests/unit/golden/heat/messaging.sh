# What this node's Heat makes of its messaging options.
# The plan and its files: df6b41891c66c388e13283f6e20c747022eaa9be0d009b8a126b6dd45d66846e
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
