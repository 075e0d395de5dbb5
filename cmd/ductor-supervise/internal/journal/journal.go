package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"ductor/internal/common/atomicfile"
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
	if info, err := os.Stat(path); err == nil && info.Mode()&fs.ModeNamedPipe != 0 {
		return nil, fmt.Errorf("open events %q: %w", path, atomicfile.ErrNoFile)
	}
	f, err := atomicfile.OpenAppend(path, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open events: %w", err)
	}
	j := &Journal{path: path, file: f, sinks: sinks}
	if info, err := f.Stat(); err == nil {
		j.size = info.Size()
	}
	j.endLine()
	j.seq = lastSeq(path)
	if j.seq == 0 {
		j.seq = lastSeq(path + ".1")
	}
	return j, nil
}

// endLine ends a line that was torn when its writer was killed, which would
// swallow the next one.
func (j *Journal) endLine() {
	f, err := atomicfile.Open(j.path)
	if err != nil || j.size == 0 {
		return
	}
	defer f.Close()
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, j.size-1); err == nil && last[0] != '\n' {
		_ = j.append([]byte{'\n'})
	}
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
	// Absence is no reason to stop: somebody removed it, or we were here before
	// and could not create the next one.
	if err := atomicfile.Rename(j.path, j.path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	next, err := atomicfile.OpenAppend(j.path, 0o600)
	if err != nil {
		return err
	}
	j.file, j.size = next, 0
	return f.Close()
}

// Close closes the file.
func (j *Journal) Close() error { return j.file.Close() }

// Each calls f for every stored event, oldest first, with its line. Lines that
// are torn, foreign or longer than a whole file are passed over. The line is
// valid during the call only.
func Each(path string, f func(line []byte, e Event)) error {
	// The newer file is opened first: if it is rotated in between, it is met
	// twice and read once; the other order would lose it.
	newer, err := atomicfile.Open(path)
	if err == nil {
		defer newer.Close()
	}
	older, olderErr := atomicfile.Open(path + ".1")
	if olderErr == nil {
		defer older.Close()
		if err != nil || !sameFile(older, newer) {
			eachLine(older, f)
		}
		if errors.Is(err, fs.ErrNotExist) { // the moment between two steps of a rotation
			return nil
		}
	}
	if err != nil {
		return err
	}
	eachLine(newer, f)
	return nil
}

func sameFile(a, b *os.File) bool {
	x, err1 := a.Stat()
	y, err2 := b.Stat()
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// eachLine reads no more than a file of ours can hold, so that a device or a
// gigabyte of something else is no trap.
func eachLine(r io.Reader, f func([]byte, Event)) {
	lines := bufio.NewReaderSize(io.LimitReader(r, 4*maxEvents), 4096)
	for {
		line, err := readLine(lines)
		if e, perr := ParseEvent(line); perr == nil {
			f(line, e)
		}
		if err != nil {
			return
		}
	}
}

// readLine returns the next line without its end, and nothing for one that is
// longer than a whole file may be.
func readLine(r *bufio.Reader) (line []byte, err error) {
	for whole := true; ; {
		part, err := r.ReadSlice('\n')
		if whole = whole && len(line)+len(part) <= maxEvents; whole {
			line = append(line, part...)
		} else {
			line = nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimRight(line, "\r\n"), err
		}
	}
}

// ParseEvent decodes one line; unknown keys are allowed.
func ParseEvent(line []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(line, &e); err != nil {
		return Event{}, fmt.Errorf("malformed event: %w", err)
	}
	if e.Type == "" || e.Seq <= 0 {
		return Event{}, fmt.Errorf("malformed event: no type or no number")
	}
	return e, nil
}

// lastSeq reads the number of the last whole line, from the end of the file
// if there is one.
func lastSeq(path string) (seq int64) {
	f, err := atomicfile.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	const tail = 64 << 10
	if info, err := f.Stat(); err == nil && info.Size() > tail {
		_, _ = f.Seek(-tail, io.SeekEnd)
	}
	last := func(_ []byte, e Event) { seq = max(seq, e.Seq) }
	eachLine(f, last)
	if seq == 0 { // a line that is longer than that
		_, _ = f.Seek(0, io.SeekStart)
		eachLine(f, last)
	}
	return seq
}
