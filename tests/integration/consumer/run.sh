#!/bin/sh
# run.sh BUILD_DIR CONSUMER_DIR VERSION: installs libpoise into a temporary prefix, builds the consumer against it, once
# through pkg-config and once through find_package, and runs both. CC and CFLAGS are those of the build.
set -eu
build=$1 consumer=$2 version=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
for component in runtime development; do
    cmake --install "$build" --prefix "$prefix" --component $component >"$work/install.log"
done

check() {
    said=$("$1" "$work/spool")
    [ "$said" = "$version" ] || { echo "$1 says '$said', not '$version'"; exit 1; }
}

# Only what was installed may be found: libpoise must need nothing else of its users.
PKG_CONFIG_LIBDIR=$(dirname "$(find "$prefix" -name poise.pc)")
export PKG_CONFIG_LIBDIR
libdir=$(pkg-config --variable=libdir poise)
# shellcheck disable=SC2046,SC2086 # flags are words
$CC $CFLAGS -std=c17 -Wall -Werror "$consumer/main.c" -o "$work/by-pkg-config" \
    $(pkg-config --cflags --libs poise) "-Wl,-rpath,$libdir"
check "$work/by-pkg-config"
[ "$(pkg-config --modversion poise)" = "$version" ]
# shellcheck disable=SC2046,SC2086 # likewise
$CC $CFLAGS -std=gnu17 -Wall -Werror "$consumer/../../examples/c/alarms.c" -o "$work/alarms" \
    $(pkg-config --cflags --libs poise) "-Wl,-rpath,$libdir"
"$work/alarms" ipc://nobody </dev/null

cmake -G Ninja -S "$consumer" -B "$work/by-cmake" -DCMAKE_PREFIX_PATH="$prefix" >"$work/configure.log"
cmake --build "$work/by-cmake" >"$work/build.log" || { cat "$work/build.log"; exit 1; }
check "$work/by-cmake/consumer"
