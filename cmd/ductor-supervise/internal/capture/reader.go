package capture

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"

	"ductor/internal/common/atomicfile"
)

// Reader reads a log that may be rotated, emptied, or moved away meanwhile.
type Reader struct {
	path   string
	file   *os.File // what had the name when we last looked; nil while nothing has
	offset int64    // of the first line in it that was not read
	newest string   // of the older files, as of then
}

// blockSize is how much is read at once, in bytes.
const blockSize = 64 << 10

// NewReader reads the log path.
func NewReader(path string) *Reader { return &Reader{path: path} }

// Last writes the last n lines, those of older files included, oldest first.
// An error that is fs.ErrNotExist means that there is no log.
func (r *Reader) Last(w io.Writer, n int) error {
	files, err := r.openAll()
	if err != nil {
		return err
	}
	r.file = files[len(files)-1]
	defer closeAll(files[:len(files)-1])
	from := make([]int64, len(files))
	first := len(files)
	for need := n; first > 0 && need > 0; {
		first--
		if from[first], need, err = startOf(files[first], need); err != nil {
			return err
		}
	}
	for i := first; i < len(files); i++ {
		end, err := copyLines(w, files[i], from[i])
		if err != nil {
			return err
		}
		from[i] = end
	}
	if r.offset = from[len(files)-1]; first == len(files) { // n is 0
		r.offset, _, err = startOf(r.file, 0)
	}
	return err
}

// openAll opens the log and all that it was before; a log that has just been
// renamed is missing for a moment, and then nothing takes the place of its file.
func (r *Reader) openAll() (files []*os.File, err error) {
	current, err := atomicfile.Open(r.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	names, lerr := older(r.path)
	for _, name := range names {
		f, ferr := atomicfile.Open(name)
		if ferr == nil && current != nil && same(f, current) { // renamed meanwhile
			f.Close()
			break
		}
		if r.newest = name; ferr == nil { // else removed meanwhile
			files = append(files, f)
		}
	}
	if current == nil && len(files) == 0 {
		return nil, errors.Join(err, lerr)
	}
	if current != nil {
		return append(files, current), nil
	}
	return files, nil
}

// stat is about the file that has the name now. On Windows os.Stat finds out
// which one that is only when it is compared, by the name.
func stat(path string) (os.FileInfo, error) {
	f, err := atomicfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

func same(a, b *os.File) bool {
	x, err1 := a.Stat()
	y, err2 := b.Stat()
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// startOf looks for the place of the nth last line from the end of the file,
// and returns how many lines are to be had from older ones.
func startOf(f *os.File, n int) (offset int64, need int, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	block := make([]byte, blockSize)
	// The end of the last line is where one more would begin.
	for end, need := info.Size(), n+1; ; {
		begin := max(end-blockSize, 0)
		part := block[:end-begin]
		if _, err := f.ReadAt(part, begin); err != nil && !errors.Is(err, io.EOF) {
			return 0, 0, err
		}
		for i := bytes.LastIndexByte(part, '\n'); i >= 0; i = bytes.LastIndexByte(part[:i], '\n') {
			if need--; need == 0 {
				return begin + int64(i) + 1, 0, nil
			}
		}
		if end = begin; end == 0 {
			return 0, need - 1, nil
		}
	}
}

// copyLines writes whole lines from offset on, and returns where they end. What
// is behind them is not: half a line is taken back when the disk is full.
func copyLines(w io.Writer, f *os.File, offset int64) (int64, error) {
	block := make([]byte, blockSize)
	have := 0
	for {
		n, err := f.ReadAt(block[have:], offset+int64(have))
		have += n
		whole := bytes.LastIndexByte(block[:have], '\n') + 1
		if whole > 0 {
			if _, err := w.Write(block[:whole]); err != nil {
				return offset, err
			}
			offset += int64(whole)
			have = copy(block, block[whole:have])
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return offset, err
		}
		if have == len(block) && have < 16*blockSize {
			block = append(block, make([]byte, len(block))...)
		} else if have == len(block) { // no line of ours
			if _, err := w.Write(block); err != nil {
				return offset, err
			}
			offset, have = offset+int64(have), 0
		}
	}
}

// More writes the lines that came since: to the end of the file that was read,
// then those of files that took its place, each line once. What was removed
// before it could be read is gone.
func (r *Reader) More(w io.Writer) error {
	for {
		// Asked first: what had the name before is not written any more.
		info, serr := stat(r.path)
		if r.file != nil {
			if err := r.rest(w); err != nil {
				return err
			}
		}
		if errors.Is(serr, fs.ErrNotExist) { // it will be there, or under an older name
			return nil
		}
		if serr != nil {
			return serr
		}
		if r.file != nil {
			if open, err := r.file.Stat(); err != nil || os.SameFile(info, open) {
				return err
			}
		}
		if err := r.next(w); err != nil {
			return err
		}
	}
}

// rest reads on in the open file, from its beginning if somebody emptied it.
func (r *Reader) rest(w io.Writer) (err error) {
	if info, err := r.file.Stat(); err == nil && info.Size() < r.offset {
		r.offset = 0
	}
	r.offset, err = copyLines(w, r.file, r.offset)
	return err
}

// next goes on to the file that has the name now, past those that had it in
// between.
func (r *Reader) next(w io.Writer) error {
	old, newest := r.file, r.newest
	if old != nil {
		defer old.Close()
	}
	r.file, r.offset = nil, 0
	current, err := atomicfile.Open(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		current, err = nil, nil
	}
	if err != nil {
		return err
	}
	r.file = current
	names, err := older(r.path)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name <= newest {
			continue
		}
		f, err := atomicfile.Open(name)
		if err != nil {
			continue
		}
		if current != nil && same(f, current) { // renamed meanwhile
			f.Close()
			return nil
		}
		r.newest = name
		if old == nil || !same(f, old) {
			_, err = copyLines(w, f, 0)
		}
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
