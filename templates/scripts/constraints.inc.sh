# constrained_venv PREFIX REQUIREMENTS CONSTRAINTS: create a virtual environment at PREFIX with these requirements and
# their dependencies, in versions that CONSTRAINTS allows. Does nothing if REQUIREMENTS has not changed.
constrained_venv() {
    prefix=$1 requirements=$2 constraints=$3
    cmp -s "$requirements" "$prefix/requirements.txt" && return 0
    python_packages "$prefix"
    "$uv" --quiet pip compile ${no_index:+"$no_index"} --python "$prefix/bin/python" --no-header --no-annotate --constraint "$constraints" \
        --output-file "$prefix/resolved.txt" "$requirements" >/dev/null
    "$uv" --quiet pip sync ${no_index:+"$no_index"} --python "$prefix/bin/python" --compile-bytecode "$prefix/resolved.txt"
    cp "$requirements" "$prefix/requirements.txt"
}
