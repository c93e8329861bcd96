# Read the configuration of the Heat that runs here, again whenever this number changes: 1
set -eu
exec python3 /usr/local/lib/heat-scaleout/original.py read /etc/heat/heat.conf /etc/heat/heat.conf.d
