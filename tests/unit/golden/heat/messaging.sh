# What this node's Heat makes of its messaging options.
# The plan and its files: 67afca1a79d561a6445a853c410054fcbe9b376c9f447f731a2b1b21809802a0
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
