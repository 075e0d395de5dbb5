package tree

import "ductor/cmd/ductor-supervise/internal/guard"

// watchOver takes the place of a parent-death signal.
func (k *Keeper) watchOver(t *Tree) {
	if err := guard.Start(t.PID, k.opt.LeaderOnly); err != nil {
		k.opt.Warn("%v; if this supervisor is killed, the bot runs on", err)
	}
}
