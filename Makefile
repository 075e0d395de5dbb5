# Two commands: `make run` shows it, `make test` proves it. `make help` lists the rest.
.DEFAULT_GOAL := build
GO      ?= go
PREFIX  ?= /usr/local
BIN     := bin
TOOLS   := ductor-lock ductor-sandbox ductor-service ductor-supervise ductor-update
GOOS    ?= $(shell $(GO) env GOOS)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS := -s -w -X ductor/internal/common/buildinfo.version=$(VERSION)

# The race detector needs a C compiler; without one the tests run without it, and say so.
RACE := $(shell command -v $(or $(CC),cc) >/dev/null 2>&1 && $(GO) env CGO_ENABLED | grep -q 1 && echo -race)

.PHONY: build run test check test-deps bench bench-deps chaos fuzz install clean help

# Without cgo, because a program linked to libc starts a millisecond later, and
# needs that libc.
build: ## build the programs into bin/ (GOOS=windows for another system)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ $(TOOLS:%=./cmd/%)
ifeq ($(GOOS),windows)
	for tool in ductor-service ductor-supervise; do CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS) -H=windowsgui' -o $(BIN)/$${tool}w.exe ./cmd/$$tool || exit; done
endif

run: ## supervise the example bot until Ctrl-C
	@$(MAKE) --silent --no-print-directory build
	@CGO_ENABLED=0 $(GO) build -o $(BIN)/ ./examples/pulse
	@home=$$(mktemp -d) && trap 'rm -rf "$$home"' EXIT && trap : INT TERM && \
	DUCTOR_HOME=$$home $(BIN)/ductor-supervise --stdin -- $(BIN)/pulse

test: ## run every test whose parts are there
	@GO='$(GO)' RACE='$(RACE)' sh test/run.sh

check: ## format, vet, staticcheck, three systems, man pages, scripts
	@GO='$(GO)' sh test/check.sh

test-deps: ## install what the tests need (Debian, as root)
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	  debootstrap gcc gcc-mingw-w64-x86-64 libc6-dev git libplist-utils mandoc pipx python3 python3-pip python3-venv rsync shellcheck systemd util-linux vim-tiny wine wine64
	command -v docker >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io
	sh test/systemd/image.sh

bench-deps: ## install the peers to measure beside (Debian, as root)
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	  gcc libc6-dev runit s6 daemontools supervisor entr util-linux pipx python3 python3-venv strace

bench: build ## measure beside the peers that are installed
	@GO='$(GO)' sh bench/run.sh

chaos: ## let random things happen to a supervisor (CHAOS=30m SEED=0)
	$(GO) test $(RACE) -count=1 -timeout 24h ./test/chaos -run TestChaos -v -args -chaos=$(or $(CHAOS),30m) -seed=$(or $(SEED),0)

fuzz: ## fuzz every parser for a while (FUZZTIME=30s)
	@GO='$(GO)' sh test/fuzz.sh

install: build ## install programs and pages below PREFIX
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man7
	install $(TOOLS:%=$(BIN)/%) $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(TOOLS:%=man/%.1) $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 man/ductor-files.5 $(DESTDIR)$(PREFIX)/share/man/man5
	install -m 644 man/ductor.7 $(DESTDIR)$(PREFIX)/share/man/man7

clean: ## remove what was built
	rm -rf $(BIN)

help: ## list these
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 12
