#!/bin/sh
# Make the image in which tests meet a real systemd, unless it is there: a
# Debian without anything that a test does not need.
set -eu
image=ductor-test-systemd:bookworm-2
docker info >/dev/null 2>&1 || { echo "no Docker daemon answers: left out, the tests under systemd" >&2; exit 0; }
docker image inspect "$image" >/dev/null 2>&1 && exit 0
dir=$(mktemp -d "${TMPDIR:-/tmp}/ductor-systemd.XXXXXX")
trap 'rm -rf "$dir"' EXIT
debootstrap --variant=minbase \
	--include=systemd,systemd-sysv,dbus,libpam-systemd,dbus-user-session,polkitd,python3-minimal,procps \
	bookworm "$dir/root" >"$dir/log" 2>&1 || { tail -n 20 "$dir/log" >&2; exit 1; }
tar -C "$dir/root" -c . | docker import --change 'LABEL dev.ductor.test=1' - "$image" >/dev/null
