package atomicfile

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// open lets others rename and remove the file while it is open, which
// os.OpenFile does not.
func open(path string) (*os.File, error) {
	// Backup semantics are for folders, which the caller refuses by their kind.
	return createFile(path, windows.GENERIC_READ, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS)
}

// openAppend has no right to write but at the end; permissions are inherited
// from the folder here.
func openAppend(path string, _ os.FileMode) (*os.File, error) {
	const access = windows.FILE_APPEND_DATA | windows.FILE_WRITE_ATTRIBUTES | windows.STANDARD_RIGHTS_WRITE | windows.SYNCHRONIZE
	return createFile(path, access, windows.OPEN_ALWAYS, windows.FILE_ATTRIBUTE_NORMAL)
}

func createFile(path string, access, mode, attrs uint32) (*os.File, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	h, err := windows.CreateFile(name, access, share, nil, mode, attrs, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(h), path), nil
}

// patiently tries for a second: a reader, a virus scanner or an indexer that
// has a file open makes renaming and removing it fail, which passes.
func patiently(f func() error) error {
	for delay := time.Millisecond; ; delay *= 2 {
		err := f()
		busy := errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_ACCESS_DENIED)
		if !busy || delay > 512*time.Millisecond {
			return err
		}
		time.Sleep(delay)
	}
}
