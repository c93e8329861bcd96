# What this node's Heat makes of its messaging options.
# The plan and its files: 306625b20672c7d3a90b263f3df450e09326bec04cb0a91475ab3060a4391534
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
