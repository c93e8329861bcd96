"""An OpenStack cloud in one container, for the tests of `hosts: openstack`. The program does not import it."""
