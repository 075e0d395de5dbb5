#!/bin/sh
# Everything that can be said without running the programs.
set -eu
GO=${GO:-go}
say() { printf '%s\n' "$*" >&2; }
missing() {
	case ",${DUCTOR_TEST_REQUIRE:-}," in
	*,all,* | *",$1,"*)
		say "required part is missing: $1"
		exit 1
		;;
	esac
	say "skipped: $1 is not installed (make test-deps)"
}

say "gofmt"
files=$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l)
[ -z "$files" ] || { say "gofmt would change: $files"; exit 1; }
for os in linux darwin windows; do
	for arch in amd64 arm64; do
		say "vet and build for $os/$arch"
		GOOS=$os GOARCH=$arch "$GO" vet ./...
		GOOS=$os GOARCH=$arch "$GO" build -o /dev/null ./cmd/...
	done
	say "staticcheck for $os"
	# The tool itself runs here, so it is built for here.
	tool=$("$GO" tool -n staticcheck)
	GOOS=$os "$tool" ./...
done
say "module files are tidy"
"$GO" mod tidy -diff
if command -v mandoc >/dev/null; then
	say "man pages"
	out=$(mandoc -T lint -W warning man/*.[1-8] 2>&1) || { say "$out"; exit 1; }
else
	missing mandoc
fi
if command -v shellcheck >/dev/null; then
	say "shell scripts"
	shellcheck .ci/run test/*.sh test/*/*.sh bench/*.sh cmd/*/internal/*/*.sh
else
	missing shellcheck
fi
say "all checks passed"
