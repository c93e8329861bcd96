"""Tables of options that the catalogue of the releases does not have: old names, removed options. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from components.adoption.oslo_files import DEFAULT
from components.heat.options import Name

_OURS = "this program sets it itself"
# Options that this program sets, and why.
SET_BY_PROGRAM: Mapping[Name, str] = {
    (DEFAULT, "host"): f"{_OURS}: each process has a name of its own",
    ("oslo_messaging_rabbit", "hostname"): f"{_OURS}: each host has a name of its own",
    ("oslo_messaging_rabbit", "processname"): f"{_OURS}: each process has a name of its own",
    (DEFAULT, "environment_dir"): f"{_OURS}: it depends on where the nodes have Heat",
    (DEFAULT, "template_dir"): f"{_OURS}: it depends on where the nodes have Heat",
    ("paste_deploy", "api_paste_config"): f"{_OURS}: the release's own file",
    ("oslo_middleware", "enable_proxy_headers_parsing"): f"{_OURS}: the APIs are behind a proxy",
} | {
    (DEFAULT, option): f"{_OURS}: processes log to the journal"
    for option in (
        "log_config_append", "log_dir", "log_file", "syslog_log_facility", "use_journal", "use_stderr", "use_syslog",
        "watch_log_file",
    )
}  # fmt: skip

# The sections of the APIs, from when they were servers themselves, and their ports.
API_PORTS = {"heat_api": 8004, "heat_api_cfn": 8000}
TLS_OPTIONS = ("cert_file", "key_file")
SERVER_OPTIONS = ("backlog", "max_header_line", "tcp_keepidle", "workers")
LISTENING_OPTIONS = ("bind_host", "bind_port", *TLS_OPTIONS, *SERVER_OPTIONS)

RABBIT = "oslo_messaging_rabbit"
TRANSPORT_URL: Name = (DEFAULT, "transport_url")
RPC_BACKEND: Name = (DEFAULT, "rpc_backend")
BROKER_OPTIONS = (
    "rabbit_host",
    "rabbit_port",
    "rabbit_hosts",
    "rabbit_userid",
    "rabbit_password",
    "rabbit_virtual_host",
)
# Heat's old sample file has rabbit_hosts = $rabbit_host:$rabbit_port.
REFERENCE_DEFAULTS = {"rabbit_host": "localhost", "rabbit_port": "5672"}

AUTH = "keystone_authtoken"
AUTH_URL: Name = (AUTH, "auth_url")
IDENTITY_URI: Name = (AUTH, "identity_uri")
AUTH_URL_OPTIONS = ("auth_protocol", "auth_host", "auth_port", "auth_admin_prefix")
OLD_LOGIN = {"admin_user": "username", "admin_password": "password", "admin_tenant_name": "project_name"}
EC2_URI: Name = ("ec2authtoken", "auth_uri")

# Options of which several make one: components.adoption.combined.
COMBINED = {
    EC2_URI,
    RPC_BACKEND,
    IDENTITY_URI,
    *((section, option) for section in (DEFAULT, RABBIT) for option in BROKER_OPTIONS),
    *((AUTH, option) for option in AUTH_URL_OPTIONS),
}

# Without these an engine starts and does not work, or encrypts with a key that everybody knows.
REQUIRED = {
    TRANSPORT_URL: "without it Heat looks for a broker on its own host",
    ("database", "connection"): "without it Heat has no database",
    AUTH_URL: "without it the APIs cannot check a token",
    (AUTH, "auth_type"): "without it Heat cannot log in to Keystone",
    (DEFAULT, "auth_encryption_key"): "without it Heat encrypts with the key in its source code, which is public",
}


def _moved(new: str, *old: str) -> dict[Name, Name]:
    def name(text: str) -> Name:
        section, _, option = text.rpartition(".")
        return section or DEFAULT, option

    return {name(text): name(new) for text in old}


# Names that were gone before the oldest release in the catalogue. The catalogue knows the later ones.
RENAMED: dict[Name, Name] = {
    **_moved("database.connection", "sql_connection", "database.sql_connection", "sql.connection"),
    **_moved("database.backend", "db_backend", "database.db_backend"),
    **_moved(
        "database.connection_recycle_time",
        "sql_idle_timeout", "database.sql_idle_timeout", "database.idle_timeout", "sql.idle_timeout",
    ),
    **_moved("database.max_pool_size", "sql_max_pool_size", "database.sql_max_pool_size"),
    **_moved("database.max_retries", "sql_max_retries", "database.sql_max_retries"),
    **_moved(
        "database.retry_interval", "sql_retry_interval", "database.sql_retry_interval", "database.reconnect_interval"
    ),
    **_moved("database.max_overflow", "sql_max_overflow", "database.sqlalchemy_max_overflow"),
    **_moved("database.connection_debug", "sql_connection_debug"),
    **_moved("database.connection_trace", "sql_connection_trace"),
    **_moved("database.pool_timeout", "database.sqlalchemy_pool_timeout"),
    **_moved("oslo_messaging_notifications.driver", "notification_driver"),
    **_moved("oslo_messaging_notifications.topics", "notification_topics", "rpc_notifier2.topics"),
    **_moved("oslo_messaging_notifications.transport_url", "notification_transport_url"),
    **_moved("oslo_policy.policy_file", "policy_file"),
    **_moved("oslo_policy.policy_dirs", "policy_dirs"),
    **_moved("oslo_policy.policy_default_rule", "policy_default_rule"),
    **_moved("keystone_authtoken.www_authenticate_uri", "keystone_authtoken.auth_uri"),
    **{(AUTH, old): (AUTH, new) for old, new in OLD_LOGIN.items()},
    **_moved(f"{RABBIT}.ssl", "rabbit_use_ssl", f"{RABBIT}.rabbit_use_ssl"),
    **_moved(f"{RABBIT}.ssl_version", "kombu_ssl_version", f"{RABBIT}.kombu_ssl_version"),
    **_moved(f"{RABBIT}.ssl_key_file", "kombu_ssl_keyfile", f"{RABBIT}.kombu_ssl_keyfile"),
    **_moved(f"{RABBIT}.ssl_cert_file", "kombu_ssl_certfile", f"{RABBIT}.kombu_ssl_certfile"),
    **_moved(f"{RABBIT}.ssl_ca_file", "kombu_ssl_ca_certs", f"{RABBIT}.kombu_ssl_ca_certs"),
    **_moved(
        f"{RABBIT}.amqp_durable_queues",
        "amqp_durable_queues", "rabbit_durable_queues", f"{RABBIT}.rabbit_durable_queues",
    ),
    **_moved(f"{RABBIT}.kombu_missing_consumer_retry_timeout", "kombu_reconnect_timeout"),
    **{
        (DEFAULT, option): (RABBIT, option)
        for option in (
            "amqp_auto_delete", "heartbeat_rate", "heartbeat_timeout_threshold", "kombu_reconnect_delay",
            "rabbit_ha_queues", "rabbit_interval_max", "rabbit_login_method", "rabbit_retry_backoff",
            "rabbit_retry_interval", "rpc_conn_pool_size",
        )
    },
}  # fmt: skip

_RETRIES = "RabbitMQ's clients retry without a limit now"
# Options that Heat no longer has, and why.
REMOVED: dict[Name, str] = {
    (DEFAULT, "rabbit_max_retries"): _RETRIES,
    (RABBIT, "rabbit_max_retries"): _RETRIES,
    (RABBIT, "heartbeat_in_pthread"): "heartbeats always run in their own thread now",
    (DEFAULT, "heat_watch_server_url"): "Heat has no CloudWatch API any more",
    (DEFAULT, "enable_cloud_watch_lite"): "Heat has no CloudWatch API any more",
}
# By section, options of Heat and its libraries that were gone before the oldest release in the catalogue.
OBSOLETE: dict[str, re.Pattern[str]] = {
    section: re.compile(options)
    for section, options in {
        DEFAULT: r"verbose|use_syslog_rfc_format|log_format|logging_.*|fake_rabbit|lock_path|"
        r"disable_process_locking|instance_user|instance_driver|onready|state_path|auth_strategy|allowed_rpc_.*|"
        r"qpid_.*|rpc_zmq_.*|zmq_.*|matchmaker_.*|rpc_cast_timeout|rpc_poll_timeout|use_pub_sub|use_router_proxy|"
        r"default_notification_exchange|notification_topics_.*|list_notifier_drivers|rabbit_notification_.*|"
        r"sql_min_pool_size|sqlite_.*|max_header_line|wsgi_.*|client_socket_timeout|"
        r"ringfile|pybasedir|bindir|amqp_rpc_.*|heartbeat_in_pthread|"
        r"max_template_size_.*",
        "database": r"sql_.*|min_pool_size|sqlite_clean_db|sqlite_db|use_tpool|mysql_enable_ndb",
        AUTH: r"signing_dir|revocation_cache_time|check_revocations_for_cached|hash_algorithms|"
        r"admin_token",
        "ec2authtoken": r"keystone_ec2_url",
        RABBIT: r"fake_rabbit|send_single_reply|pool_.*|socket_timeout|tcp_user_timeout|heartbeat_interval|"
        r"host_connection_reconnect_delay|connection_factory|channel_max|frame_max",
        "oslo_middleware": r"secure_proxy_ssl_header",
        "oslo_policy": r"policy_overrides",
        **dict.fromkeys(
            (
                "clients_ceilometer", "clients_monasca", "clients_sahara", "clients_senlin", "clients_vitrage",
                "clients_zun", "cors.subdomain", "eventlet_opts",
                "heat_api_cloudwatch", "matchmaker_redis", "matchmaker_ring", "oslo_concurrency", "oslo_messaging_amqp",
                "oslo_messaging_qpid", "oslo_messaging_zmq", "rpc_notifier2", "sql", "ssl",
            ),
            r".*",
        ),
    }.items()
}  # fmt: skip
