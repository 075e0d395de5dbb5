package supervisor

import (
	"os"
	"strconv"

	"ductor/cmd/ductor-supervise/internal/tree"
	"ductor/internal/common/process"
)

// byInstance finds every process that was started with this DUCTOR_INSTANCE,
// whatever group or session it is in now, and the hooks of that supervisor.
func byInstance(instance string) (found []process.Identity) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !tree.HasInstance(pid, instance) && !tree.HasVariable(pid, hookOf, instance) {
			continue
		}
		if id, err := process.Of(pid); err == nil {
			found = append(found, id)
		}
	}
	return found
}
