# broker SECRETS: where an engine that reads this file is connected.
broker() {
    sed -n 's/^transport_url *= *//p' "$1" | tail -n 1
}
