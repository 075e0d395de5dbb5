package watch

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// isLimit reports whether an error means that the system has had enough, so
// that looking is all that is left.
func isLimit(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, errCrowded)
}

// errCrowded is a limit that we keep ourselves, below that of the system.
var errCrowded = errors.New("half of the descriptors that this process may have")

// Explain names the limit behind the errors of the system, whose own texts
// speak of disks and files.
func Explain(err error) error {
	if text := limitText(err); text != "" {
		return fmt.Errorf("%s: %w", text, err)
	}
	return fmt.Errorf("watch: %w", err)
}

// Subtree is a folder that holds many others.
type Subtree struct {
	Path    string
	Folders int // itself, and all below it
}

// biggestShown is how many subtrees are named to somebody who may want to
// ignore them.
const biggestShown = 3

// biggest picks the folders of a root that hold most: its own, or, where one
// holds nearly all of another, the inner one.
func biggest(root string, dirs []string) (top []Subtree) {
	count := map[string]int{}
	for _, dir := range dirs {
		for ; dir != root && inside(root, dir); dir = filepath.Dir(dir) {
			count[dir]++
		}
	}
	heirs := map[string]string{} // the biggest folder in a folder
	for dir, n := range count {
		parent := filepath.Dir(dir)
		if parent == root {
			top = append(top, Subtree{dir, n})
		} else if heir := heirs[parent]; n > count[heir] || n == count[heir] && dir < heir {
			heirs[parent] = dir
		}
	}
	for i := range top {
		for heir := heirs[top[i].Path]; count[heir]*10 > top[i].Folders*8; heir = heirs[heir] {
			top[i] = Subtree{heir, count[heir]}
		}
	}
	slices.SortFunc(top, func(a, b Subtree) int {
		return cmp.Or(cmp.Compare(b.Folders, a.Folders), cmp.Compare(a.Path, b.Path))
	})
	return top[:min(len(top), biggestShown)]
}

// complaint is the one warning of a watch that has to look instead.
func complaint(why error, every time.Duration, folders int, top []Subtree) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%v; looking for changes every %s instead", Explain(why), every)
	if r := remedy(why, folders); r != "" {
		fmt.Fprintf(&text, "; as root, '%s' raises it", r)
	}
	for i, sub := range top {
		if i == 0 {
			fmt.Fprintf(&text, "; or --ignore some of %d folders, most of which are in", folders)
		} else {
			text.WriteString(",")
		}
		fmt.Fprintf(&text, " %q (%d)", sub.Path, sub.Folders)
	}
	return text.String()
}
