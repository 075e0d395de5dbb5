package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/home"
	"ductor/internal/common/jsonout"
)

// followInterval is how often the files are looked at. Their folder is not
// watched: see home.Run.Ctl.
const followInterval = 100 * time.Millisecond

// follow shows each change until nobody supervises any more, and returns the
// last view. An interrupt ends the program where it stands: no mode of the
// terminal has been changed, so none needs to be put back.
func follow(l *looker, v statusView, show *display) (statusView, error) {
	n := news{run: l.run}
	suspended, gone := suspensions(), outputGone(show.std.Out)
	for v.Supervised {
		var err error
		if n.look() || !v.Supervisor.Alive() {
			if v, err = l.view(); err == nil {
				err = show.change(v)
			}
		} else {
			err = show.again(v)
		}
		if err != nil {
			return v, err
		}
		if !v.Supervised {
			break
		}
		select {
		case <-suspended:
			show.drawn = nil // a shell is about to write below it
			suspend()
		case <-gone:
			return v, exitcode.Status(brokenPipe)
		case <-time.After(followInterval):
		}
	}
	return v, nil
}

// news tells whether there is any, without reading it.
type news struct {
	run            home.Run
	status, events stamp // of what was told last
	waited         bool  // the events were news at the last look already
}

// look gives events a moment: most of them are the beginning of what
// status.json is about to say.
func (n *news) look() bool {
	status, events := stampOf(n.run.Status()), stampOf(n.run.Events())
	differ := !events.same(n.events)
	if status.same(n.status) && !(differ && n.waited) {
		n.waited = differ
		return false
	}
	n.status, n.events, n.waited = status, events, false
	return true
}

// stamp is a file's identity.
type stamp struct{ info os.FileInfo }

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info}
}

func (s stamp) same(o stamp) bool {
	if s.info == nil || o.info == nil {
		return s.info == o.info
	}
	return os.SameFile(s.info, o.info) && s.info.Size() == o.info.Size() && s.info.ModTime().Equal(o.info.ModTime())
}

// display shows views: as JSON, drawn over the last one, or as a line a change.
type display struct {
	std    *cli.IO
	json   bool
	follow bool // more views are to come
	now    func() time.Time

	told  string // the last JSON object, without which a look may show nothing new
	line  string // the last line
	drawn []string
}

func (c *statusCmd) display(std *cli.IO) *display {
	return &display{std: std, json: c.JSON, follow: c.Follow, now: time.Now}
}

// first shows all of it.
func (d *display) first(v statusView) error {
	line, err := jsonout.Line(v)
	if err != nil {
		return err
	}
	d.told, d.line = string(line), v.line()
	if d.json {
		_, err = d.std.Out.Write(line)
		return err
	}
	scr := screenOf(d.std)
	if d.follow && scr.ansi {
		return d.redraw(v)
	}
	_, err = fmt.Fprintln(d.std.Out, strings.Join(v.drawing(d.now(), scr), "\n"))
	return err
}

// drawing is the text, cut to what fits.
func (v statusView) drawing(now time.Time, scr screen) []string {
	lines := v.text(now, scr)
	for i, line := range lines {
		lines[i] = scr.fit(line)
	}
	return lines
}

// change shows what is new, if anything that is shown is.
func (d *display) change(v statusView) error {
	line, err := jsonout.Line(v)
	if err != nil {
		return err
	}
	fresh := d.told != string(line)
	d.told = string(line)
	if d.json {
		if fresh {
			_, err = d.std.Out.Write(line)
		}
		return err
	}
	if screenOf(d.std).ansi {
		return d.redraw(v)
	}
	text := v.line()
	if text == d.line {
		return nil
	}
	d.line = text
	_, err = fmt.Fprintf(d.std.Out, "%s %s\n", d.now().Format(time.DateTime), text)
	return err
}

// again lets time pass on a terminal.
func (d *display) again(v statusView) error {
	if d.json || !screenOf(d.std).ansi {
		return nil
	}
	return d.redraw(v)
}

// redraw draws over the last drawing, in one write, if it looks different.
// What does not fit on the screen is left out: there is no way back to it.
func (d *display) redraw(v statusView) error {
	scr := screenOf(d.std)
	lines := v.drawing(d.now(), scr)
	lines = lines[:min(len(lines), max(1, scr.height-1))]
	if strings.Join(lines, "\n") == strings.Join(d.drawn, "\n") {
		return nil
	}
	up := min(len(d.drawn), scr.height-1)
	var b strings.Builder
	if up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", up)
	}
	for _, line := range lines {
		b.WriteString("\r" + line + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	d.drawn = lines
	_, err := d.std.Out.Write([]byte(b.String()))
	return err
}

// line is what a change is about, in a line; the same words mean that nothing
// has changed for a reader.
func (v statusView) line() string {
	text := v.Name + ": " + plain(v.State)
	switch {
	case v.LastState != "":
		text += "; the supervisor died without a word"
	case v.NextStart != nil:
		text += " until " + v.NextStart.Local().Format(time.TimeOnly)
	case v.PID != 0:
		text += fmt.Sprintf(", PID %d", v.PID)
	}
	if v.PID != 0 && v.Restarts > 0 {
		text += fmt.Sprintf(", restart %d: %s", v.Restarts, reasonWords(v.Reason))
	}
	if e := v.LastExit; e != nil && v.PID == 0 {
		end := fromStatus(e)[0]
		text += fmt.Sprintf("; the last run: %s %s", end.how(), end.lasted())
	}
	if v.Text != "" {
		text += "; says: " + plain(v.Text)
	}
	for _, n := range []struct {
		what *notice
		text string
	}{{v.Held, "a change is held back"}, {v.Preflight, "a change failed the preflight"}, {v.Suspended, "watching is suspended"}} {
		if n.what != nil {
			text += "; " + n.text
		}
	}
	return text
}
