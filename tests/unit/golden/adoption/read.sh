# The configuration of the Heat that runs here. Asked for once, and again when this number is raised: 1
set -eu
exec python3 /usr/local/lib/heat-scaleout/original.py read /etc/heat/heat.conf /etc/heat/heat.conf.d
