# Install the files that an adopted heat.conf names, such as certificates and policies. Another content makes another
# path, so that processes restart when a file changes. The earlier files stay until then.
set -eu
umask 077
group=root
if getent group heat >/dev/null; then group=heat; fi
for above in /etc/heat /etc/heat/adopted; do
    [ -e "$above" ] || [ -L "$above" ] || continue
    if [ -L "$above" ] || [ "$(stat -c %u "$above")" != 0 ]; then
        echo "$above on $(hostname) is a link, or belongs to $(stat -c %U "$above"), who could redirect the files that are put there. Type on that host, as root: chown -h root $above" >&2
        exit 1
    fi
done
install -d -o root -g "$group" -m 0750 /etc/heat/adopted
if [ ! -f /etc/heat/adopted/bba2c1d092c8-policy.yaml ]; then
    base64 -d >/etc/heat/adopted/bba2c1d092c8-policy.yaml.new <<'END_OF_FILE'
InN0YWNrczppbmRleCI6ICJyb2xlOnJlYWRlciIK
END_OF_FILE
    chown root:"$group" /etc/heat/adopted/bba2c1d092c8-policy.yaml.new
    chmod 0640 /etc/heat/adopted/bba2c1d092c8-policy.yaml.new
    mv /etc/heat/adopted/bba2c1d092c8-policy.yaml.new /etc/heat/adopted/bba2c1d092c8-policy.yaml
fi
if [ ! -f /etc/heat/adopted/1243ae672dc1-cloud.pem ]; then
    base64 -d >/etc/heat/adopted/1243ae672dc1-cloud.pem.new <<'END_OF_FILE'
dGhlIGNsb3VkJ3MgY2VydGlmaWNhdGUK
END_OF_FILE
    chown root:"$group" /etc/heat/adopted/1243ae672dc1-cloud.pem.new
    chmod 0640 /etc/heat/adopted/1243ae672dc1-cloud.pem.new
    mv /etc/heat/adopted/1243ae672dc1-cloud.pem.new /etc/heat/adopted/1243ae672dc1-cloud.pem
fi
