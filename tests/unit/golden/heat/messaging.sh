# What this node's Heat makes of its messaging options.
# The plan and its files: ab98d7b590daf7a2857bd6bfabe7c1d2cbf94c46637287a6ec99c7f4a48888ee
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
