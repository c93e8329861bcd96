# Containers run as root: their systemd needs cgroups, and this machine needs a route to the bridge.
sudo=
[ "$(id -u)" = 0 ] || sudo='sudo -n'
