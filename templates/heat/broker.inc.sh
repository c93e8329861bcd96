# broker SECRETS: the broker and vhost of an engine that reads this file. Another login leads to the same queues.
broker() {
    sed -n 's/^transport_url *= *//p' "$1" | tail -n 1 | sed 's|[^/,@]*@||g'
}
