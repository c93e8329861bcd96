# Read the files that the adopted heat.conf names.
set -eu
exec python3 /usr/local/lib/heat-scaleout/original.py fetch <<'END_OF_SPEC'
{
  "conf": [
    "/etc/heat/heat.conf",
    "/etc/heat/heat.conf.d"
  ],
  "files": [
    "/etc/heat/policy.yaml",
    "/etc/ssl/cloud.pem"
  ]
}
END_OF_SPEC
