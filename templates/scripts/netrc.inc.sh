{% if packages.netrc %}
# Logins are in a file of root's alone, and in no URL: so no command line, message and no file of a clone has one.
export NETRC={{ packages.netrc }}
{% else %}
# No logins are known any more.
rm -f {{ netrc }}
{% endif %}
