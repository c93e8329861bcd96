# Check that Heat's database, broker and cache accept its logins.
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/reach.py <<'END_OF_SPEC'
{
  "broker": {
    "admin_url": "",
    "ca": "",
    "policy": {
      "apply-to": "queues",
      "definition": {
        "expires": 1800000
      },
      "pattern": "^(engine|engine_worker|heat-engine-listener)\\.",
      "priority": 0
    },
    "url": "rabbit://heat:s3cr3t.broker@mq-1.example:5672,heat:s3cr3t.broker@mq-2.example:5672/heat"
  },
  "cache": [
    "10.0.0.9:11211"
  ],
  "database": {
    "admin_url": "",
    "connections": {
      "each": 69,
      "remedy": "Raise max_connections there. Or set fewer engines or engineWorkers, or smaller pools: options.all.DEFAULT.executor_thread_pool_size and options.all.database.max_overflow.",
      "workers": 2
    },
    "key": "s3cr3t.auth-encryption-key......",
    "url": "mysql+pymysql://heat:s3cr3t.database@db.example/heat"
  }
}
END_OF_SPEC
