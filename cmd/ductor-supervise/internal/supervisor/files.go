package supervisor

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/cmd/ductor-supervise/internal/policy"
	"ductor/internal/common/process"
	"ductor/internal/common/sentinel"
)

// StopText is what stop-requested holds: the supervisor that is meant, so that
// a request which came too late does not stop the next one. Other content (a
// file made by touch) means whoever runs.
func StopText(id process.Identity) string { return fmt.Sprintf("%d %s\n", id.PID, id.Start) }

// lookAtFiles acts on control files and markers that appeared.
func (s *supervisor) lookAtFiles() {
	if s.takeStop(true) && s.state.Intent != policy.IntentStop {
		s.emit(journal.Event{Type: journal.StopRequest, Reason: "file", Path: s.run.CtlStop()})
		s.step(policy.Stop{}, journal.Event{})
	}
	for _, m := range s.markers {
		taken, err := sentinel.ConsumeMarker(m)
		if err != nil {
			s.warnOnce("%v", err)
		}
		if taken {
			s.step(policy.Restart{Cause: policy.CauseMarker, At: time.Now()}, journal.Event{Path: m})
		}
	}
	s.lookAtHold()
}

// clearStop removes a request that was made of a supervisor before us.
func (s *supervisor) clearStop() {
	if s.takeStop(false) {
		s.stopFirst = true
	}
}

// takeStop removes stop-requested and reports whether it was meant for us.
func (s *supervisor) takeStop(live bool) bool {
	text, taken, err := sentinel.ConsumeText(s.run.CtlStop())
	if err != nil {
		s.warnOnce("%v", err)
	}
	if !taken {
		return false
	}
	if words := strings.Fields(text); len(words) >= 2 {
		if pid, err := strconv.Atoi(words[0]); err == nil {
			return pid == s.self.PID && words[1] == s.self.Start
		}
	}
	return live
}
