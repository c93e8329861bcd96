{% if packages.netrc %}
# Logins are in a file that only root can read, and not in URLs, so that they appear in no command line, message or
# clone.
export NETRC={{ packages.netrc }}
{% else %}
# The logins were removed from the settings.
rm -f {{ netrc }}
{% endif %}
