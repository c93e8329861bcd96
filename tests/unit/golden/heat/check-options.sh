#!/bin/sh
# check-options FILE: refuse options that this release of Heat does not know. Heat would ignore them silently.
set -u
if output=$(/opt/heat/27.0.1/bin/oslo-config-validator --opt-data /opt/heat/27.0.1/options.json --input-file "$1" 2>&1); then
    exit 0
fi
errors=$(echo "$output" | sed -n 's/^ERROR:oslo_config.validator:\(.*\) is not part of the sample config$/\1/p;t;/^ERROR/p')
echo 'Heat 27.0.1 does not know these options:' >&2
echo "$errors" | sed 's/^/  /' >&2
exit 1
