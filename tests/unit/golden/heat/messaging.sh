# Read back the messaging options of this node's Heat.
# The plan and its files: 3a67b73d06c8220d5ef8cbd609be4d8f2aa0013e57cc4ca171fee2d760ddc77c
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
