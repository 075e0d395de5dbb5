package mount

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"ductor/internal/common/exitcode"
)

// Absent is a file or folder that the host would obey and that is not there, so
// that the container could make it.
type Absent struct {
	Root  string // the folder of the host that it is looked for in
	name  string
	empty string
}

// Fill makes what is absent, and so that it says nothing: an empty folder, settings
// without a setting. It leaves alone what is there meanwhile, whatever that is, and
// follows no link that leads out of the folder. Errors are CANTCREAT.
func Fill(absent []Absent) error {
	var errs []error
	for _, a := range absent {
		if err := a.fill(); err != nil && !errors.Is(err, fs.ErrExist) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return exitcode.File(exitcode.CantCreat, fmt.Errorf("make an empty one, so that no command can make another: %w", err))
	}
	return nil
}

func (a Absent) fill() error {
	root, err := os.OpenRoot(a.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.MkdirAll(path.Dir(a.name), 0o700); err != nil {
		return err
	}
	if a.empty == folder {
		return root.Mkdir(a.name, 0o700)
	}
	f, err := root.OpenFile(a.name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(a.empty)
	return errors.Join(err, f.Close())
}
