"""What clients reach: HAProxy or Octavia, and the addresses that are taken over from a running Heat."""
