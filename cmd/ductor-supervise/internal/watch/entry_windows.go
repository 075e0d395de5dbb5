package watch

import (
	"os"
	"time"
)

// changedEntry is what changed says of an entry of a folder, which brought its
// times along.
func changedEntry(_ string, e os.DirEntry) (time.Time, error) {
	info, err := e.Info()
	if err != nil {
		return time.Time{}, err
	}
	return changed(info), nil
}
