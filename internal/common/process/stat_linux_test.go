package process

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// statLine is a line of /proc/PID/stat with this name, state, parent, number
// of threads, and start.
func statLine(name, state, ppid, threads, start string) string {
	f := make([]string, 52)
	for i := range f {
		f[i] = "7"
	}
	f[0], f[1], f[2], f[3], f[19], f[21] = "1234", "("+name+")", state, ppid, threads, start
	return strings.Join(f, " ") + "\n"
}

// TestParseStatEvilNames: a program may be called anything, also what looks
// like the fields behind its name.
func TestParseStatEvilNames(t *testing.T) {
	for _, name := range []string{"sleep", "", " ", "(", ")", "))", ") Z 1 (", "a) Z 1 1 1", "x\n) R 2", "\xff", "1 (a) S 1", "((((", " ) "} {
		got, err := parseStat([]byte(statLine(name, "S", "42", "3", "99887766")))
		if want := (stat{'S', 42, 3, "99887766"}); err != nil || got != want {
			t.Errorf("%q: %+v, %v", name, got, err)
		}
	}
}

func TestParseStatMalformed(t *testing.T) {
	good := statLine("a", "S", "1", "1", "5")
	for _, in := range []string{"", ")", "1234 (a)", "1234 (a) ", "1234 (a) S 1", good[:len("1234 (a) S 1 7 7")], strings.Replace(good, "S 1", "S x", 1)} {
		if got, err := parseStat([]byte(in)); err == nil {
			t.Errorf("%q: %+v", in, got)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	self, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(self)
	for _, s := range []string{"", ")", "(", "1 (a) S", statLine(") Z 1 (", "Z", "0", "1", "18446744073709551615"), statLine("a", "S", "-1", "1e9", ""), "1 (a) " + strings.Repeat("\x00 ", 30)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		st, err := parseStat(data)
		if err != nil {
			return
		}
		// The same numbers under any name that the kernel may put there.
		again, err := parseStat([]byte(statLine(string(data), string([]byte{st.state}), strconv.Itoa(st.ppid), strconv.Itoa(st.threads), st.start)))
		if err != nil || again != st {
			t.Fatalf("%+v became %+v, %v", st, again, err)
		}
	})
}
