# What this node's Heat makes of its messaging options.
# The plan and its files: a455e6040c5f321e3635ab7efa61e9df64d4fee8d2d41317f8e6400d625944d1
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
