# What this node's Heat makes of its messaging options.
# The plan and its files: 8d894c39dd796c405e44a0afaed8df5812e1a17f99b8b18ad03c2484801a358c
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
