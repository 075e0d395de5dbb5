package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

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

// take renames by a handle that nobody else can have at the same time. To rename
// by name is no decision here: who has opened the file before another one
// renamed it renames it once more.
func take(path, to string) error {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return &os.PathError{Op: "take", Path: path, Err: err}
	}
	h, err := windows.CreateFile(name, windows.DELETE|windows.SYNCHRONIZE, 0, nil, windows.OPEN_EXISTING, windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err == nil {
		defer windows.CloseHandle(h)
		err = renameHandle(h, to)
	}
	if err != nil {
		return &os.PathError{Op: "take", Path: path, Err: err}
	}
	return nil
}

// renameInformation is the head of FILE_RENAME_INFORMATION, which the name
// follows.
type renameInformation struct {
	replace uint32
	root    windows.Handle
	length  uint32 // in bytes
	name    [1]uint16
}

func renameHandle(h windows.Handle, to string) error {
	path, err := nativePath(to)
	if err != nil {
		return err
	}
	name, err := windows.UTF16FromString(path)
	if err != nil {
		return err
	}
	name = name[:len(name)-1] // the length says where it ends
	head := int(unsafe.Offsetof(renameInformation{}.name))
	data := make([]uint64, (head+2*len(name))/8+1) // aligned as the head wants it
	info := (*renameInformation)(unsafe.Pointer(&data[0]))
	info.replace, info.length = 1, uint32(2*len(name))
	copy(unsafe.Slice(&info.name[0], len(name)), name)
	var status windows.IO_STATUS_BLOCK
	return windows.NtSetInformationFile(h, &status, (*byte)(unsafe.Pointer(info)), uint32(8*len(data)), windows.FileRenameInformation)
}

// nativePath is the path as the kernel has it.
func nativePath(path string) (string, error) {
	path, err := filepath.Abs(path)
	switch {
	case strings.HasPrefix(path, `\\?\`):
		path = path[4:]
	case strings.HasPrefix(path, `\\`):
		path = `UNC` + path[1:]
	}
	return `\??\` + path, err
}
