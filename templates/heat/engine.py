"""heat-engine, which gives back to the broker what it is still sent while it stops. Run by Heat's own Python.

oslo.messaging's server remains a consumer until its last handler has ended, and acknowledges what comes in until then,
although nobody takes it up any more: the stack or the request that it belongs to waits for ever. Here a server that is
told to stop is a consumer no longer, and another engine gets what was on its way.
"""

import sys

# First of all: in some releases it replaces parts of Python's own library.
from heat.cmd.engine import main  # isort: skip

from oslo_messaging._drivers.amqpdriver import AMQPListener, RpcAMQPListener
from oslo_messaging._drivers.impl_rabbit import RabbitMessage

_stop = AMQPListener.stop
_receive = RpcAMQPListener.__call__


def stop(self: AMQPListener) -> None:
    """End the polling thread, as ever; then tell the broker, on the connection that nobody polls now."""
    _stop(self)
    with self.conn._connection_lock:
        for consumer, tag in self.conn._consumers.items():
            consumer.cancel(tag)


def receive(self: RpcAMQPListener, message: RabbitMessage) -> None:
    """Take a message, or give it back."""
    if self._shutdown.is_set():
        message.requeue()
    else:
        _receive(self, message)


AMQPListener.stop = stop
RpcAMQPListener.__call__ = receive

# As the programs of its workers are called.
sys.argv[0] = "heat-engine"
main()
