# What this node's Heat makes of its messaging options.
# The plan and its files: 3980468810a8ef2f2605eb33f560966c89caa66e0e83054ec58d208909f2ab2e
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
