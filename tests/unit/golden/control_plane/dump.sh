# A dump of Heat's database, if the planned release has a newer schema.
# The release: /opt/heat/27.0.1. Its schema and the database's: {"current": "older", "newest": "newer"}
set -eu
dump=
# give_up_dump MESSAGE: end before the schema is touched.
give_up_dump() {
    echo "$1 The schema has not been changed." >&2
    exit 1
}

# dump_database DATABASE: dump a database into a compressed file that only root can read, and set $dump to its path.
# Restored by: zcat FILE | mariadb. The dump is one transaction, so running services continue meanwhile.
dump_database() {
    dumps=/var/lib/heat-scaleout/dumps
    mkdir -p "$dumps"
    chmod 0700 "$dumps"
    dump=$dumps/$1-$(date -u +%Y%m%dT%H%M%SZ).sql.gz
    # The size of the tables, which is more than their compressed dump, and 100 MB that stay free.
    kilobytes=$(mariadb --batch --skip-column-names --execute "SELECT CEIL(COALESCE(SUM(data_length + index_length), 0) / 1024)
        FROM information_schema.tables WHERE table_schema = '$1'")
    free=$(df --output=avail --block-size=1K "$dumps" | tail -n 1 | tr -d ' ')
    if [ "$free" -lt $((kilobytes + 102400)) ]; then
        give_up_dump "The database $1 needs a dump before its schema is upgraded. $dumps on $(hostname) has $free KB free and needs $((kilobytes + 102400)) KB: make room there."
    fi
    rm -f "$dumps"/.partial*
    partial=$(mktemp "$dumps/.partial.XXXXXX")
    # With the statements that drop and remake the database, so that a restore removes what a later schema has added.
    {
        mariadb-dump --single-transaction --quick --hex-blob --routines --triggers --add-drop-database \
            --databases "$1" || echo failed >"$partial.failed"
    } | gzip >"$partial"
    if [ -e "$partial.failed" ] || ! zcat "$partial" | tail -n 1 | grep -q '^-- Dump completed'; then
        rm -f "$partial" "$partial.failed"
        give_up_dump "The database $1 needs a dump before its schema is upgraded. mariadb-dump failed on $(hostname); its error is above."
    fi
    sync "$partial"
    mv "$partial" "$dump"
    # Keep the newest 5 dumps.
    find "$dumps" -maxdepth 1 -name "$1-*.sql.gz" | sort -r | tail -n +6 | while read -r old; do rm -f "$old"; done
}
dump_database heat
echo "The schema of Heat's database is upgraded from older to newer. A dump of the database before the upgrade, on $(hostname): $dump"
