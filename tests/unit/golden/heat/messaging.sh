# What this node's Heat makes of its messaging options.
# The plan and its files: f15dbc299db3541bf19896aeba93bd496e35cad398ad69f2dfcdf78a6df53c6a
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
