# What this node's Heat makes of its messaging options.
# The plan and its files: 945704b61cc68bbefdf8db0c89e338c28da20bb49f39588c6fb77f22a053df28
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
