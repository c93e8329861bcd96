# What this node's Heat makes of its messaging options.
# The plan and its files: 908defada96b76be3a7f438ba738e06f1f7852bb01033dd219f543e5270f7a48
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
