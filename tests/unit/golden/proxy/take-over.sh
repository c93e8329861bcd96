# Hand the APIs' addresses over from the original processes to HAProxy.
set -eu
exec python3 /usr/local/lib/heat-scaleout/take_over.py take <<'END_OF_SPEC'
{
  "keep_engine": true,
  "listeners": {
    "cfn_api_proxy": [
      "10.0.0.1",
      8000
    ],
    "rest_api_proxy": [
      "10.0.0.1",
      8004
    ]
  }
}
END_OF_SPEC
