# constrained_venv PREFIX WANTED CONSTRAINTS: a virtual environment at PREFIX with the packages that WANTED names and what
# they need, in versions that CONSTRAINTS allows. Does nothing when it was made for the same before.
constrained_venv() {
    prefix=$1 wanted=$2 constraints=$3
    cmp -s "$wanted" "$prefix/requirements.txt" && return 0
    python_packages "$prefix"
    "$uv" --quiet pip compile ${no_index:+"$no_index"} --python "$prefix/bin/python" --no-header --no-annotate --constraint "$constraints" \
        --output-file "$prefix/resolved.txt" "$wanted" >/dev/null
    "$uv" --quiet pip sync ${no_index:+"$no_index"} --python "$prefix/bin/python" --compile-bytecode "$prefix/resolved.txt"
    cp "$wanted" "$prefix/requirements.txt"
}
