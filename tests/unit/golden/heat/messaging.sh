# What this node's Heat makes of its messaging options.
# The plan and its files: a325898f8bc2ee77b8622e426081c96777b2fd75683b76fd51068b49d7310d39
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
