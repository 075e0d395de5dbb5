#!/bin/sh
# Fuzz every parser of the module for a while each: make fuzz FUZZTIME=30s
set -eu
GO=${GO:-go}
found=0
for package in $("$GO" list ./...); do
	targets=$("$GO" test -list '^Fuzz' "$package" | grep '^Fuzz' || :)
	for target in $targets; do
		found=$((found + 1))
		printf '%s %s\n' "$package" "$target" >&2
		# No other test has to run for it.
		"$GO" test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-30s}" "$package"
	done
done
[ "$found" -gt 0 ] || {
	echo "no fuzz target was found" >&2
	exit 1
}
printf '%s fuzz targets\n' "$found" >&2
