# What this node's Heat makes of its messaging options.
# The plan and its files: caa619680074bd038a9c472703420179518e66faac18cd0ab7d6c2f876093f81
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
