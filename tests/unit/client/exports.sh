#!/bin/sh
# exports.sh LIBRARY INCLUDE_DIR: the shared library shows what the headers declare POISE_API, all of it and nothing else.
set -eu
declared=$(sed '/^#/d' "$2"/poise/*.h | tr '\n' ' ' | grep -o 'POISE_API [^;]*;' |
    sed 's/^POISE_API [^(]*\b\(poise_[a-z_]*\)(.*/\1/' | sort)
# Names that begin with two underscores are a sanitizer's.
shown=$(nm -D --defined-only "$1" | awk '{print $3}' | grep -v '^__' | sort)
[ -n "$declared" ] || { echo "no POISE_API in $2"; exit 1; }
if [ "$declared" != "$shown" ]; then
    printf 'declared:\n%s\nshown:\n%s\n' "$declared" "$shown"
    exit 1
fi
