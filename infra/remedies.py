"""What an operator does about a problem that a component finds on a host. The components know no setting keys."""

OTHER_VHOST = (
    "Make another vhost at the broker. Then type: pulumi config set --secret transportUrl, "
    "and at its prompt the URL with that vhost."
)
CONNECTIONS = (
    "Raise max_connections there. Or set fewer engines or engineWorkers, or smaller pools: "
    "options.all.DEFAULT.executor_thread_pool_size and options.all.database.max_overflow."
)
OTHER_KEY = (
    "If this stack's state (.state) was lost, restore it from its backup: the state has the key and all passwords. "
    "Else set the key in that file: pulumi config set --secret authEncryptionKey"
)
