package backend

import (
	"os"
	"runtime"
	"slices"

	"ductor/cmd/ductor-service/internal/definition"
)

// commonProblems are those that every manager's services can have: what is to
// run is gone, or the definition is not what this version would write. st is
// what data says of itself, nil if it is not ours, and then nothing is known.
func commonProblems(p definition.Platform, st *definition.Stored, data []byte) []Problem {
	if st == nil {
		return nil
	}
	var found []Problem
	for _, program := range slices.Compact([]string{st.Runner, st.Command[0], st.Sandbox, st.Updater, st.Rollback}) {
		if program != "" && !executable(program) {
			found = append(found, Problem{"exec-missing", program + " cannot be executed", reinstall(st.Service)})
		}
	}
	switch {
	case st.Edited:
		found = append(found, Problem{"definition-edited", "the definition was edited by hand", reinstall(st.Service, "--force")})
	case st.Stale(p, data):
		found = append(found, Problem{"definition-stale", "the definition was written by another version", reinstall(st.Service)})
	}
	return found
}

// executable reports whether a file can be run, as far as its mode says.
func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && (runtime.GOOS == "windows" || info.Mode()&0o111 != 0)
}
