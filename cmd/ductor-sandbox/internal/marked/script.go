package marked

import _ "embed"

// Script is Main in POSIX sh with grep, for containers in which this program
// cannot run. It sees less: a process without the mark is not followed, and a
// chain in which each process starts the next and ends at once may outrun it.
//
//go:embed reap.sh
var Script string
