# Rootful: systemd in the containers wants cgroups, and the bridge wants addresses that the machine can reach.
sudo=
[ "$(id -u)" = 0 ] || sudo='sudo -n'
