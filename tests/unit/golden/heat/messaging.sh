# What this node's Heat makes of its messaging options.
# The plan and its files: 68d66ed992e3c7a319b8118a1efeb5991dcb9fb246eb81041b18c53b91fa516c
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
