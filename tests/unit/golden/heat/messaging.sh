# What this node's Heat makes of its messaging options.
# The plan and its files: 77c2f09f03161af3172813ee619e2108ca2bb150a66dad60fd7cb255e690929b
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
