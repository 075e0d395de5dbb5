package journal

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"

	"ductor/internal/common/atomicfile"
)

// Reader hands out the events of a file, each of them once unless somebody but
// a supervisor replaces it, and never reads more than the last megabyte of it
// and of the older one: what a supervisor keeps. Torn and foreign lines are
// passed over.
type Reader struct {
	path   string
	file   os.FileInfo // what was read last, up to offset; nil for nothing
	offset int64
}

// NewReader opens nothing yet.
func NewReader(path string) *Reader { return &Reader{path: path} }

// Next calls f for what came since the last call, oldest first. A last line
// that is not ended yet waits for the next call. Absence is fs.ErrNotExist.
func (r *Reader) Next(f func(Event)) error {
	newer, err := atomicfile.Open(r.path)
	if err == nil {
		defer newer.Close()
	}
	absent := errors.Is(err, fs.ErrNotExist)
	if err != nil && !absent {
		return err
	}
	if r.file == nil || absent || !r.reads(newer) {
		olderErr := r.older(newer, f)
		if absent && olderErr == nil { // the moment between two steps of a rotation
			return nil
		}
	}
	if absent {
		return err
	}
	return r.rest(newer, f)
}

// reads reports whether a file is the one that was read last.
func (r *Reader) reads(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && r.file != nil && os.SameFile(r.file, info)
}

// older reads what is left of the file that newer took the place of.
func (r *Reader) older(newer *os.File, f func(Event)) error {
	old, err := atomicfile.Open(r.path + ".1")
	if err != nil {
		return err
	}
	defer old.Close()
	if newer != nil && sameFile(old, newer) { // rotated since newer was opened
		return nil
	}
	return r.rest(old, f)
}

// rest reads a file from where the last call ended, and another one from its
// beginning; but only the last of it if that is more than a file of ours holds.
func (r *Reader) rest(file *os.File, f func(Event)) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if r.file == nil || !os.SameFile(r.file, info) || info.Size() < r.offset {
		r.offset = 0
	}
	r.file, r.offset = info, max(r.offset, info.Size()-maxEvents)
	data, err := io.ReadAll(io.NewSectionReader(file, r.offset, maxEvents))
	whole := data[:bytes.LastIndexByte(data, '\n')+1]
	for line := range bytes.Lines(whole) {
		if e, err := ParseEvent(line); err == nil {
			f(e)
		}
	}
	r.offset += int64(len(whole))
	return err
}
