package main

import (
	"encoding/json"
	"fmt"
	"time"

	"ductor/internal/common/atomicfile"
	"ductor/internal/common/holder"
)

// botView is the part of the supervisor's status.json that status shows.
type botView struct {
	State    string     `json:"state"`
	PID      int        `json:"pid,omitempty"`
	Since    *time.Time `json:"since,omitempty"`
	Restarts int        `json:"restarts"`
	Crashes  int        `json:"crashes"`
	LastExit *botExit   `json:"last_exit,omitempty"`
	Text     string     `json:"status_text,omitempty"` // what the bot says of itself

	instance string // of the supervisor that says so
}

type botExit struct {
	Code   int    `json:"code"`
	Signal string `json:"signal,omitempty"`
}

func (e botExit) String() string {
	if e.Signal != "" {
		return "ended by " + e.Signal
	}
	return fmt.Sprintf("ended with exit code %d", e.Code)
}

// maxStatus is what ductor-files(5) says of JSON, in bytes.
const maxStatus = 1 << 20

// readBot tells what the supervisor says, or last said, of its bot; ok is false
// if nothing can be believed.
func (b bot) readBot() (v botView, ok bool) {
	data, err := atomicfile.Read(b.home.Run(b.name).Status(), maxStatus)
	if err != nil {
		return v, false
	}
	var st struct {
		botView
		Supervisor struct {
			Instance string `json:"instance"`
		} `json:"supervisor"`
	}
	if json.Unmarshal(data, &st) != nil || st.State == "" {
		return v, false
	}
	v = st.botView
	v.instance = st.Supervisor.Instance
	return v, true
}

// supervised reports whether that supervisor lives.
func (b bot) supervised() bool {
	st, err := holder.Inspect(b.home.Run(b.name).SupervisePID(), false)
	return err == nil && st.Held()
}
