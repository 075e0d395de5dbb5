package capture

import (
	"errors"
	"io/fs"
	"time"

	"golang.org/x/sys/windows"

	"ductor/internal/common/atomicfile"
)

func isFull(err error) bool { return errors.Is(err, windows.ERROR_DISK_FULL) }

// moveAway does the renaming of a rotation, as lumberjack would, since that
// gives up at once when somebody has the file open.
func (f *file) moveAway() error {
	dir, prefix, ext := split(f.path)
	f.close()
	err := atomicfile.Rename(f.path, dir+prefix+time.Now().UTC().Format(nameFormat)+ext)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
