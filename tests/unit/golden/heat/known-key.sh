# Before anything is changed: a Heat that this host has run on this database has encrypted what is in it with this key.
set -eu
wanted=s3cr3t.auth-encryption-key......
database=10.0.0.1/heat

# option NAME FILE: its value there, as oslo.config reads it; prints nothing where there is none.
option() {
    sed -n "s/^$1[[:space:]]*[=:][[:space:]]*//p" "$2" | tail -n 1 |
        sed 's/[[:space:]]*$//; t whole; :whole; s/^"\(.*\)"$/\1/; t done; s/^'\''\(.*\)'\''$/\1/; :done; s/[$\\][$]/$/g'
}

# What a process reads is a copy of its own, taken when it was started; before this program a Heat had these files.
for file in /etc/heat/processes/*/secrets.conf /etc/heat/heat.conf /etc/heat/heat.conf.d/*.conf; do
    [ -f "$file" ] || continue
    found=$(option auth_encryption_key "$file")
    at=$(option connection "$file" | sed 's/.*@//; s/[?].*//')
    if [ -n "$found" ] && [ "$found" != "$wanted" ] && [ "$at" = "$database" ]; then
        echo node-b" has run Heat on the database $at with another auth_encryption_key ($file): what is encrypted there could not be read any more. Nothing was changed. If this stack's state (.state) was lost, restore it from its backup: the key and all passwords are in it. Else set the key that is in use, which is in that file: pulumi config set --secret authEncryptionKey" >&2
        exit 1
    fi
done
