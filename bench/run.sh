#!/bin/sh
# Build what is compared, then measure all of it in one run. See README.md.
set -eu
GO=${GO:-go}
cd "$(dirname "$0")/.."
tmp=$(mktemp -d "${TMPDIR:-/tmp}/ductor-bench.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say() { printf 'bench: %s\n' "$*" >&2; }
flags='-s -w'
build() { CGO_ENABLED=0 "$GO" build -trimpath -ldflags "$flags" -o "$tmp/own/" "$@"; }
# A peer from the module proxy. Without the proxy the table does without it.
peer() {
	GOBIN=$tmp/peers timeout 180 "$GO" install "$1" >"$tmp/log" 2>&1 || say "left out: $1 cannot be built"
}

mkdir "$tmp/own" "$tmp/peers"
say "building"
build ./bench/hello ./bench/konghello ./bench/sleeper ./bench/measure ./test/fakecli
if command -v gcc >/dev/null && gcc -O2 -static -Wall -o "$tmp/own/bot" bench/bot.c 2>"$tmp/log"; then
	:
else
	say "no static C program can be built here; the bot is a Go program"
	build ./bench/bot
fi
# In a container ductor-update says "docker" and asks nobody. This one looks for
# /.dockerenv and the like below a folder that is not there.
flags="$flags -X main.root=/ductor-bench-has-no-such-root"
build ./cmd/ductor-update
peer github.com/cespare/reflex@v0.3.1
peer github.com/air-verse/air@v1.64.5

# In the background, because a shell that waits for a foreground program does
# not listen to signals. The program ends all that it started, and then the
# folder can go.
"$tmp/own/measure" -bin "$PWD/bin" -own "$tmp/own" -peers "$tmp/peers" -tmp "$tmp" &
pid=$!
stop=
trap 'stop=130; kill -TERM "$pid" 2>/dev/null || :' INT
trap 'stop=143; kill -TERM "$pid" 2>/dev/null || :' TERM HUP
code=0
wait "$pid" || code=$?
if [ -n "$stop" ]; then
	wait "$pid" || :
	exit "$stop"
fi
exit "$code"
