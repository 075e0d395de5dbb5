package backend

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/atomicfile"
	"ductor/internal/common/exitcode"
)

// fileLogs is Manager.Logs where the service writes to files: the newest log of
// the bot's own, then what the manager caught of standard output and standard
// error. Bytes go through as they are. Following ends without an error with
// the context, or when nobody reads on.
//
// tail packages lose what is written between their last look and a rotation,
// so this follows by itself: it reads a file to its end before it leaves it.
func fileLogs(ctx context.Context, s definition.Service, out io.Writer, q Lines) error {
	logs, err := findLogs(s)
	if err != nil {
		return err
	}
	there := 0
	for _, l := range logs {
		defer l.close()
		if l.file != nil {
			there++
		}
	}
	p := &logPrinter{out: out, many: there > 1}
	err = each(logs, func(l *logFile) error { return p.begin(l, q) })
	for err == nil && q.Follow && pause(ctx, followInterval) {
		err = each(logs, p.follow)
	}
	if errors.As(err, new(unread)) {
		return nil
	}
	return err
}

func each(logs []*logFile, do func(*logFile) error) error {
	for _, l := range logs {
		if err := do(l); err != nil {
			return exitcode.File(exitcode.IOErr, err)
		}
	}
	return nil
}

// followInterval is tail's own, where it has to look.
const followInterval = 250 * time.Millisecond

// pause reports whether the time passed before the context was done.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// unread is an error of whoever was to read what we write.
type unread struct{ error }

func (u unread) Unwrap() error { return u.error }

// logFile is one of the files, which may not be there yet.
type logFile struct {
	path string
	file *os.File // nil while it is not there
	at   int64    // up to here it is printed
}

// open opens the file if it is there.
func (l *logFile) open() error {
	f, err := atomicfile.Open(l.path)
	if err == nil {
		l.close()
		l.file, l.at = f, 0
	}
	return err
}

func (l *logFile) close() {
	if l.file != nil {
		l.file.Close()
	}
}

// findLogs opens the files that are there. It is an error of code No if none is.
func findLogs(s definition.Service) ([]*logFile, error) {
	dir := filepath.Join(s.Home, "logs")
	std := []string{s.LogFile("log"), s.LogFile("err")}
	var logs []*logFile
	none := true
	for _, p := range append([]string{newestLog(dir, s.Name, std)}, std...) {
		l := &logFile{path: p}
		if err := l.open(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, exitcode.File(exitcode.IOErr, err)
		}
		logs, none = append(logs, l), none && l.file == nil
	}
	if none {
		return nil, exitcode.Errorf(exitcode.No, "there is no log of %q in %q", s.Name, dir)
	}
	return logs, nil
}

// newestLog is the log NAME*.log that was written to last. If there is none it
// is the one that may come.
func newestLog(dir, name string, except []string) string {
	newest := filepath.Join(dir, name+".log")
	entries, _ := os.ReadDir(dir) // no folder is as good as an empty one
	var last time.Time
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !strings.HasPrefix(e.Name(), name) || !strings.HasSuffix(e.Name(), ".log") || slices.Contains(except, path) {
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.ModTime().After(last) {
			newest, last = path, info.ModTime()
		}
	}
	return newest
}

// logPrinter writes files one after the other, each under its name if there are
// many.
type logPrinter struct {
	out  io.Writer
	many bool
	last *logFile // what the last line was of
}

func (p *logPrinter) Write(b []byte) (int, error) {
	n, err := p.out.Write(b)
	if err != nil {
		err = unread{err}
	}
	return n, err
}

// head says of which file the next lines are, as tail(1) does.
func (p *logPrinter) head(l *logFile) error {
	before := p.last
	p.last = l
	switch {
	case before == l, before == nil && !p.many:
		return nil
	case before == nil:
		_, err := fmt.Fprintf(p, "==> %s <==\n", l.path)
		return err
	}
	_, err := fmt.Fprintf(p, "\n==> %s <==\n", l.path)
	return err
}

// begin prints the lines that are wanted of what is there.
func (p *logPrinter) begin(l *logFile, q Lines) error {
	if l.file == nil {
		return nil
	}
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	l.at = info.Size() // what comes behind is for following
	if info.ModTime().Before(q.Since) {
		return nil
	}
	if err := p.head(l); err != nil {
		return err
	}
	if !q.Since.IsZero() {
		return p.since(io.NewSectionReader(l.file, 0, l.at), q)
	}
	start, err := lastLines(l.file, l.at, q.Last)
	if err == nil {
		_, err = io.Copy(p, io.NewSectionReader(l.file, start, l.at-start))
	}
	return err
}

// lastLines is where the last n lines begin. It reads from the end, because a
// log that launchd writes can have grown to gigabytes.
func lastLines(r io.ReaderAt, size int64, n int) (int64, error) {
	switch {
	case n < 0:
		return 0, nil
	case n == 0:
		return size, nil
	}
	block := make([]byte, 64<<10)
	for end := size; end > 0; {
		start := max(0, end-int64(len(block)))
		part := block[:end-start]
		if _, err := r.ReadAt(part, start); err != nil && err != io.EOF {
			return 0, err
		}
		for i := len(part) - 1; i >= 0; i-- {
			if part[i] != '\n' || start+int64(i) == size-1 {
				continue // the end of the last line begins no other
			}
			if n--; n == 0 {
				return start + int64(i) + 1, nil
			}
		}
		end = start
	}
	return 0, nil
}

// since prints the last lines of those that are not older. A line without a
// time belongs to the one before; the first ones may be of any time.
func (p *logPrinter) since(r io.Reader, q Lines) error {
	in, out, wanted := bufio.NewReader(r), bufio.NewWriter(p), true
	var kept [][]byte
	for {
		line, err := in.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return err
		}
		if t, has := timeOf(line); has {
			wanted = !t.Before(q.Since)
		}
		switch {
		case wanted && q.Last < 0:
			out.Write(line) // an error stays until Flush
		case wanted && len(line) > 0:
			kept = append(kept, line)
			kept = kept[max(0, len(kept)-q.Last):]
		}
		if err == io.EOF {
			out.Write(slices.Concat(kept...))
			return out.Flush()
		}
	}
}

// timeOf reads the time that a line begins with, in local time if it names no
// zone.
func timeOf(line []byte) (time.Time, bool) {
	const layout = "2006-01-02 15:04:05" // a fraction may follow, time.Parse says
	if len(line) < len(layout) {
		return time.Time{}, false
	}
	end := len(layout)
	if rest := line[end:]; len(rest) > 1 && (rest[0] == '.' || rest[0] == ',') && isDigit(rest[1]) {
		for end++; end < len(line) && isDigit(line[end]); {
			end++
		}
	}
	text := strings.Replace(string(line[:end]), "T", " ", 1)
	for _, zone := range []string{"Z", "+00:00"} { // by their lengths
		if len(line) < end+len(zone) {
			break
		}
		if t, err := time.Parse(layout+"Z07:00", text+string(line[end:end+len(zone)])); err == nil {
			return t, true
		}
	}
	t, err := time.ParseInLocation(layout, text, time.Local)
	return t, err == nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// follow prints what came since the last look.
func (p *logPrinter) follow(l *logFile) error {
	if err := p.rest(l); err != nil {
		return err
	}
	now, err := os.Stat(l.path)
	if err != nil {
		return nil // it was renamed, and its successor is to come
	}
	if l.file != nil {
		was, err := l.file.Stat()
		if err != nil {
			return err
		}
		if os.SameFile(was, now) {
			if was.Size() < l.at { // it was truncated
				l.at = 0
			}
			return nil
		}
		// Until it was renamed somebody may have written to it.
		if err := p.rest(l); err != nil {
			return err
		}
	}
	if l.open() != nil {
		return nil // it is gone again
	}
	return p.rest(l)
}

// rest prints a file from where we are to its end.
func (p *logPrinter) rest(l *logFile) error {
	block := make([]byte, 64<<10)
	for l.file != nil {
		n, err := l.file.ReadAt(block, l.at)
		if n > 0 {
			if err := p.head(l); err != nil {
				return err
			}
			if _, err := p.Write(block[:n]); err != nil {
				return err
			}
			l.at += int64(n)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// logLimit is from where on a log is begun anew, in bytes.
const logLimit = 10 << 20

// TrimLogs empties those of the files that are logs of more than 10 MB.
// launchd never rotates what it lets a service write to, and a file that is
// renamed instead is written to all the same; only truncation helps. A file
// that is not appended to is left alone: the next write would leave a hole.
func TrimLogs(files ...*os.File) error {
	for _, f := range files {
		info, err := f.Stat()
		if err != nil || !info.Mode().IsRegular() || info.Size() <= logLimit || !appends(f) {
			continue
		}
		if err := f.Truncate(0); err != nil {
			return exitcode.File(exitcode.IOErr, err)
		}
	}
	return nil
}
