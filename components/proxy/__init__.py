"""The APIs' public addresses: HAProxy or a load balancer of Octavia, and the take-over of addresses in use."""
