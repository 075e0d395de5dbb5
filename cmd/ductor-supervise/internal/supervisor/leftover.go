package supervisor

import (
	"errors"
	"fmt"
	"os"
	"time"

	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/internal/common/holder"
	"ductor/internal/common/process"
)

// stopLeftovers ends what a dead supervisor of this NAME left behind, and
// returns the PIDs. It is called under our own lock, so that the supervisor
// of the files is dead for sure, and before anything is started, so that there
// are never two bots.
func stopLeftovers(c *Config, old journal.Status, known bool) (pids []int, err error) {
	deadline := time.Now().Add(c.Policy.StopTimeout)
	asked := map[int]bool{}
	for {
		left := leftovers(c, old, known)
		if len(left) == 0 {
			return pids, nil
		}
		late := time.Now().After(deadline)
		if late && time.Now().After(deadline.Add(stopMargin)) {
			return pids, errors.New("what a dead supervisor left behind does not end")
		}
		for _, id := range left {
			if asked[id.PID] && !late {
				continue
			}
			if err := end(id, late, c.LeaderOnly); err != nil {
				return pids, fmt.Errorf("stop what a dead supervisor left behind: %w", err)
			}
			if !asked[id.PID] {
				asked[id.PID] = true
				pids = append(pids, id.PID)
			}
		}
		waitAny(left)
	}
}

// leftovers names what may be left, by the identity in our files and, where a
// system lets us read it, by the instance in the environment.
func leftovers(c *Config, old journal.Status, known bool) (left []process.Identity) {
	add := func(id *process.Identity) {
		if id != nil && id.Alive() && id.PID != os.Getpid() && id.PID > 1 && !process.IsAncestor(id.PID) {
			left = append(left, *id)
		}
	}
	if known {
		add(old.Child)
		if !c.LeaderOnly {
			for _, id := range byInstance(old.Supervisor.Instance) {
				add(&id)
			}
		}
	}
	if rec, err := holder.ReadRecord(c.run().BotPID()); err == nil && rec.Supervisor != nil && !rec.Supervisor.Alive() {
		add(&rec.Identity)
		add(rec.Child)
	}
	return left
}

// end asks the process to end, or kills it, and its group too if it leads one
// and is not the only one meant.
func end(id process.Identity, now, alone bool) error {
	h, err := process.Open(id)
	if errors.Is(err, process.ErrGone) || errors.Is(err, process.ErrReused) {
		return nil
	}
	if err != nil {
		return err
	}
	defer h.Close()
	if !alone {
		endGroup(id.PID, now)
	}
	if now {
		return h.Kill()
	}
	return h.Terminate()
}

// waitAny waits for the first to end, but looks again soon: others may appear.
func waitAny(left []process.Identity) {
	if h, err := process.Open(left[0]); err == nil {
		_ = h.Wait(50 * time.Millisecond)
		h.Close()
		return
	}
	time.Sleep(10 * time.Millisecond)
}
