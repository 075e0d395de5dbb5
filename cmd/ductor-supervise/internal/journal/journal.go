package journal

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"ductor/internal/common/jsonout"
)

// maxEvents bounds events.jsonl, in bytes. A full one becomes events.jsonl.1,
// so that at most twice this is kept.
const maxEvents = 1 << 20

// Journal writes events. It is used by one goroutine.
type Journal struct {
	path  string
	file  *os.File
	size  int64
	seq   int64
	sinks []Sink
	sick  bool // the last write to the file failed, and that was said
}

// Sink gets each event in both forms: a JSON line, and the event itself.
type Sink func(line []byte, e Event)

// Open continues the events of path.
func Open(path string, sinks ...Sink) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open events: %w", err)
	}
	j := &Journal{path: path, file: f, sinks: sinks}
	if info, err := f.Stat(); err == nil {
		j.size = info.Size()
	}
	j.seq = lastSeq(path)
	if j.seq == 0 {
		j.seq = lastSeq(path + ".1")
	}
	return j, nil
}

// Write numbers, stamps and stores an event, and hands it to the sinks.
func (j *Journal) Write(e Event) {
	j.seq++
	e.Seq, e.Time = j.seq, time.Now().UTC().Truncate(time.Millisecond)
	line, err := jsonout.Line(e)
	if err != nil {
		return
	}
	err = j.append(line)
	for _, sink := range j.sinks {
		sink(line, e)
	}
	if err != nil && !j.sick {
		j.sick = true
		w := Event{Seq: e.Seq, Time: e.Time, Type: Warning, Message: fmt.Sprintf("events are not stored: %v", err)}
		for _, sink := range j.sinks {
			sink(nil, w)
		}
	} else if err == nil {
		j.sick = false
	}
}

func (j *Journal) append(line []byte) error {
	if j.size > 0 && j.size+int64(len(line)) > maxEvents {
		if err := j.rotate(); err != nil {
			return err
		}
	}
	n, err := j.file.Write(line)
	j.size += int64(n)
	if err != nil && n > 0 { // a torn line on a full disk: take it back
		if j.file.Truncate(j.size-int64(n)) == nil {
			j.size -= int64(n)
		}
	}
	return err
}

func (j *Journal) rotate() error {
	f := j.file
	if err := os.Rename(j.path, j.path+".1"); err != nil {
		return err
	}
	next, err := os.OpenFile(j.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	j.file, j.size = next, 0
	return f.Close()
}

// Close closes the file.
func (j *Journal) Close() error { return j.file.Close() }

// Each calls f for every stored event, oldest first, with its line. Lines that
// are torn or foreign are passed over.
func Each(path string, f func(line []byte, e Event)) error {
	var last error
	for _, p := range []string{path + ".1", path} {
		file, err := os.Open(p)
		if err != nil {
			last = err
			continue
		}
		last = nil
		eachLine(file, f)
		file.Close()
	}
	return last
}

func eachLine(r io.Reader, f func([]byte, Event)) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxEvents)
	for lines.Scan() {
		if e, err := ParseEvent(lines.Bytes()); err == nil {
			f(lines.Bytes(), e)
		}
	}
}

// ParseEvent decodes one line; unknown keys are allowed. It fills in what Text
// relies on.
func ParseEvent(line []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(line, &e); err != nil {
		return Event{}, fmt.Errorf("malformed event: %w", err)
	}
	if e.Type == "" || e.Seq <= 0 {
		return Event{}, fmt.Errorf("malformed event: no type or no number")
	}
	if e.Code == nil {
		e.Code = new(int)
	}
	for _, p := range []**float64{&e.RuntimeSeconds, &e.DelaySeconds} {
		if *p == nil {
			*p = new(float64)
		}
	}
	return e, nil
}

// lastSeq reads the number of the last whole line from the end of the file.
func lastSeq(path string) (seq int64) {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	const tail = 64 << 10
	if info, err := f.Stat(); err == nil && info.Size() > tail {
		_, _ = f.Seek(-tail, io.SeekEnd)
	}
	eachLine(f, func(_ []byte, e Event) { seq = max(seq, e.Seq) })
	return seq
}
