# Wait until node-1 has booted and its sshd has the expected host key. Runs on the front host.
# The machine: node-1-machine-id
set -eu
address=10.0.0.11
key='ssh-ed25519 AAAAnode1hostkeyAAAAAAAA'

end=$(($(date +%s) + 600))
while :; do
    found=$(ssh-keyscan -T 5 -t ed25519 "$address" 2>/dev/null | cut -d ' ' -f 2-3) || found=
    [ "$found" != "$key" ] || exit 0
    [ "$(date +%s)" -lt "$end" ] || break
    sleep 2
done
{
    echo node-1" ($address) did not boot within 600 s:"
    if [ -z "$found" ]; then
        echo "nothing answers on port 22. To see its console, type: openstack console log show heat-sample-node-1"
    else
        echo "it has another host key than the one in its user data: cloud-init has not run, or another machine has its address."
        echo "To see its console, type: openstack console log show heat-sample-node-1"
    fi
} >&2
exit 1
