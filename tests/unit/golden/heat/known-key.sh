# Before anything is changed: a Heat that runs here, or has run, has encrypted its data with the key that this stack has.
set -eu
wanted=s3cr3t.auth-encryption-key......

# known FILE: the key in it, as oslo.config reads it; prints nothing where there is none.
known() {
    sed -n 's/^auth_encryption_key[[:space:]]*[=:][[:space:]]*//p' "$1" | tail -n 1 |
        sed 's/[[:space:]]*$//; s/^"\(.*\)"$/\1/; s/^'\''\(.*\)'\''$/\1/; s/[$\\][$]/$/g'
}

# What a process reads is a copy of its own, taken when it was started; before this program a Heat had these files.
for file in /etc/heat/processes/*/secrets.conf /etc/heat/heat.conf /etc/heat/heat.conf.d/*.conf; do
    [ -f "$file" ] || continue
    found=$(known "$file")
    if [ -n "$found" ] && [ "$found" != "$wanted" ]; then
        echo node-b" has run Heat with another auth_encryption_key ($file): what that Heat has encrypted in its database could not be read any more. Nothing was changed. If this stack's state (.state) was lost, restore it from its backup: the key and all passwords are in it. Else set the key that is in use, which is in that file: pulumi config set --secret authEncryptionKey" >&2
        exit 1
    fi
done
