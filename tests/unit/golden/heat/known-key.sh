# Before anything is changed: if this host has run Heat on this database, the data are encrypted with this key.
set -eu
planned=s3cr3t.auth-encryption-key......
database=10.0.0.1/heat

# option NAME FILE: print the value of an option, as oslo.config reads it; nothing if the file does not set the option.
option() {
    sed -n "s/^$1[[:space:]]*[=:][[:space:]]*//p" "$2" | tail -n 1 |
        sed 's/[[:space:]]*$//; t whole; :whole; s/^"\(.*\)"$/\1/; t done; s/^'\''\(.*\)'\''$/\1/; :done; s/[$\\][$]/$/g'
}

# Each process reads its own copies of the files. A Heat that this program has not installed reads the last two.
for file in /etc/heat/processes/*/secrets.conf /etc/heat/heat.conf /etc/heat/heat.conf.d/*.conf; do
    [ -f "$file" ] || continue
    found=$(option auth_encryption_key "$file")
    at=$(option connection "$file" | sed 's/.*@//; s/[?].*//')
    if [ -n "$found" ] && [ "$found" != "$planned" ] && [ "$at" = "$database" ]; then
        echo node-b" has run Heat on the database $at with another auth_encryption_key ($file). With the planned key Heat could not read what is encrypted there. Nothing was changed. "'If this stack'"'"'s state (.state) was lost, restore it from its backup: the state has the key and all passwords. Else set the key in that file: pulumi config set --secret authEncryptionKey' >&2
        exit 1
    fi
done
