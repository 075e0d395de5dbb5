package main

import (
	"fmt"
	"strings"
	"time"

	"ductor/cmd/ductor-supervise/internal/watch"
)

// watchMode is auto, native, or poll with an optional interval.
type watchMode watch.Mode

func (m *watchMode) UnmarshalText(text []byte) error {
	kind, every, timed := strings.Cut(string(text), ":")
	*m = watchMode{Kind: kind, Every: watch.DefaultPoll}
	var err error
	if timed {
		m.Every, err = time.ParseDuration(every)
	}
	if err != nil || m.Every <= 0 || timed && kind != watch.Poll || kind != watch.Auto && kind != watch.Native && kind != watch.Poll {
		return fmt.Errorf("%q is not auto, native, poll, or poll:D such as poll:5s", text)
	}
	return nil
}
