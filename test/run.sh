#!/bin/sh
# Run all tests, and say at the end what was skipped and how to get it.
set -u
skipped=$(mktemp)
trap 'rm -f "$skipped"' EXIT
[ -n "$RACE" ] || echo "race detector: apt-get install gcc libc6-dev" >>"$skipped"
if [ -z "$RACE" ] && [ -n "${DUCTOR_TEST_REQUIRE:-}" ]; then
	echo "no C compiler for the race detector, which DUCTOR_TEST_REQUIRE demands" >&2
	exit 1
fi
# shellcheck disable=SC2086 # RACE is a flag or nothing
DUCTOR_TEST_SKIPPED=$skipped "${GO:-go}" test $RACE -timeout 30m "$@" ./...
code=$?
if [ -s "$skipped" ]; then
	echo "skipped, for want of (or: make test-deps):"
	sort -u "$skipped" | sed 's/^/  /'
else
	echo "skipped: nothing"
fi
exit $code
