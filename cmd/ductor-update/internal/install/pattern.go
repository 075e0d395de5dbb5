package install

import (
	"regexp"
	"sync"
)

// pattern is compiled when it is first used: all of them at each start of the
// program would cost more than the search itself.
func pattern(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

// maxWord bounds names and versions, in bytes.
const maxWord = 128

// names are those of PEP 508: in particular none that begins with a dash, which
// an installer would take for an option.
var names = pattern(`\A[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\z`)

func isName(s string) bool { return len(s) <= maxWord && names().MatchString(s) }

// versions are those that can be printed, passed and compared; whether they
// follow PEP 440 is for others to say.
var versions = pattern(`\A[0-9A-Za-z](?:[0-9A-Za-z.!+_-]*[0-9A-Za-z])?\z`)

func isVersion(s string) bool { return len(s) <= maxWord && versions().MatchString(s) }
