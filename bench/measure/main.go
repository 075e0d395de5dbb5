//go:build linux

// Command measure runs the programs of this house beside their peers and
// prints one table. bench/run.sh builds what it needs; bench/README.md says
// what each row means.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

func main() { os.Exit(run()) }

func run() int {
	b := &bench{env: os.Getenv}
	flag.StringVar(&b.bin, "bin", "bin", "folder of the programs of this house")
	flag.StringVar(&b.own, "own", "", "folder of what bench/ builds for comparison")
	flag.StringVar(&b.peers, "peers", "", "folder of peers that are not installed but built")
	flag.StringVar(&b.tmp, "tmp", "", "folder to work in; the caller removes it")
	flag.Parse()
	// Our own collector would run beside what is measured. What we allocate in
	// four minutes fits.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(256 << 20)
	if err := b.prepare(); err != nil {
		fmt.Fprintf(os.Stderr, "bench: error: %v\n", err)
		return 71
	}
	defer b.endAll()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-stop
		b.endAll()
		b.clean()
		os.Exit(130)
	}()
	b.measure().print(os.Stdout)
	return 0
}

// part is one group of rows.
type part struct {
	name    string
	measure func(*bench) []section
}

var parts = []part{
	{"size", (*bench).size},
	{"start", (*bench).start},
	{"lock", (*bench).lock},
	{"update", (*bench).update},
	{"sandbox", (*bench).sandbox},
	{"restart", (*bench).restart},
	{"watch", (*bench).watch},
	{"idle", (*bench).idle},
	{"scale", (*bench).scale},
	{"crowd", (*bench).crowd},
}

// measure runs all parts, or those that BENCH_ONLY names.
func (b *bench) measure() table {
	t := table{machine: machine()}
	only := strings.FieldsFunc(b.env("BENCH_ONLY"), func(r rune) bool { return r == ',' || r == ' ' })
	for _, p := range parts {
		if len(only) == 0 || slices.Contains(only, p.name) {
			fmt.Fprintf(os.Stderr, "bench: measuring %s\n", p.name)
			t.sections = append(t.sections, p.measure(b)...)
		}
	}
	t.missing = b.missing
	return t
}

// idleSeconds is how long idle programs are looked at.
func (b *bench) idleSeconds() int {
	if n, err := strconv.Atoi(b.env("BENCH_IDLE")); err == nil && n > 0 {
		return n
	}
	return 60
}
