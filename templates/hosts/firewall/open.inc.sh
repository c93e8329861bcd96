# Open the ports to every client again.
systemctl --quiet disable --now heat-scaleout-firewall.service 2>/dev/null || true
rm -rf /etc/systemd/system/heat-scaleout-firewall.service /etc/heat-scaleout
systemctl daemon-reload
