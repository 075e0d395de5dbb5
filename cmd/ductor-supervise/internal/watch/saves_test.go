//go:build unix

package watch

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// How programs save a.py, as a list of system calls. Those marked * were seen
// with strace (vim 9.0, GNU sed 4.9, rsync 3.2.7, perl 5.36, ed 1.19, git 2.39),
// the others are read from the programs' sources. What does not change a name
// or its content is left out (chown, utimes, the reading of the old file).
//
//	vim *                  creat+unlink 4913; rename a.py a.py~; creat a.py, ftruncate, write, fsync, setxattr; unlink a.py~
//	vim, backupcopy=yes *  creat a.py~, write, setxattr; open a.py, ftruncate, write, fsync; unlink a.py~
//	vim, nowritebackup *   open a.py, ftruncate, write, fsync, setxattr
//	vim's swap file *      creat .a.py.swp, .a.py.swx; unlink both; creat .a.py.swp, write, chmod …; unlink .a.py.swp
//	VS Code                open a.py with O_TRUNC, write, fdatasync
//	VS Code, atomic        creat a.py.vsctmp, write, fdatasync; rename a.py.vsctmp a.py
//	JetBrains, safe write  creat a.py___jb_tmp___, write; rename a.py a.py___jb_old___; rename a.py___jb_tmp___ a.py; chmod; unlink a.py___jb_old___
//	JetBrains, since 2020  creat a.py~, write; open a.py with O_TRUNC, write; unlink a.py~
//	Emacs                  symlink .#a.py; creat #a.py#; rename a.py a.py~; creat a.py, write, fsync, chmod; unlink #a.py#, .#a.py
//	Kate, Qt's QSaveFile   creat a.py.XXXXXX, write, fdatasync; rename a.py.XXXXXX a.py; and .a.py.kate-swp as a swap file
//	gedit, GNOME           creat .goutputstream-XXXXXX, write, fsync; rename to a.py
//	Sublime, atomic        creat .sublXXX.tmp, write; rename to a.py
//	nano, ed *             open a.py with O_TRUNC, write
//	sed -i *               creat sedXXXXXX, write; rename to a.py
//	perl -i *              creat XXXXXXXX, write; rename to a.py
//	rsync *                creat .a.py.XXXXXX, write, utimes; rename to a.py (which may be older than the one before)
//	rsync --inplace *      open a.py, write, ftruncate, utimes
//	git checkout *         unlink a.py; creat a.py with O_EXCL, write
//	AI tools               creat a.py.tmp.PID.TIME, write; rename to a.py
var saves = map[string]func(w *watched){
	"vim": func(w *watched) {
		w.create("4913")
		w.remove("4913")
		w.rename("a.py", "a.py~")
		w.rewrite("a.py")
		w.setxattr("a.py")
		w.remove("a.py~")
	},
	"vim with backupcopy": func(w *watched) {
		w.create("a.py~")
		w.setxattr("a.py~")
		w.rewrite("a.py")
		w.remove("a.py~")
	},
	"vim without a backup": func(w *watched) { w.rewrite("a.py"); w.setxattr("a.py") },
	"vim with a swap file": func(w *watched) {
		for range 2 {
			w.create(".a.py.swp")
			w.create(".a.py.swx")
			w.remove(".a.py.swx")
			w.remove(".a.py.swp")
		}
		w.create(".a.py.swp")
		w.chmod(".a.py.swp", 0o644)
		w.rewrite("a.py")
		w.rewrite(".a.py.swp")
		w.remove(".a.py.swp")
	},
	"vscode":        func(w *watched) { w.truncate("a.py") },
	"vscode atomic": func(w *watched) { w.create("a.py.vsctmp"); w.rename("a.py.vsctmp", "a.py") },
	"jetbrains": func(w *watched) {
		w.create("a.py___jb_tmp___")
		w.rename("a.py", "a.py___jb_old___")
		w.rename("a.py___jb_tmp___", "a.py")
		w.chmod("a.py", 0o644)
		w.remove("a.py___jb_old___")
	},
	"jetbrains since 2020": func(w *watched) { w.create("a.py~"); w.truncate("a.py"); w.remove("a.py~") },
	"emacs": func(w *watched) {
		w.symlink("me@host.1:2", ".#a.py")
		w.create("#a.py#")
		w.rename("a.py", "a.py~")
		w.create("a.py")
		w.chmod("a.py", 0o644)
		w.remove("#a.py#")
		w.remove(".#a.py")
	},
	"kate": func(w *watched) {
		w.create(".a.py.kate-swp")
		w.create("a.py.kXjQwz")
		w.rename("a.py.kXjQwz", "a.py")
		w.remove(".a.py.kate-swp")
	},
	"gnome":           func(w *watched) { w.create(".goutputstream-5P7RQ1"); w.rename(".goutputstream-5P7RQ1", "a.py") },
	"sublime":         func(w *watched) { w.create(".subl4a2.tmp"); w.rename(".subl4a2.tmp", "a.py") },
	"sed":             func(w *watched) { w.create("sedgW623Q"); w.rename("sedgW623Q", "a.py") },
	"perl":            func(w *watched) { w.create("XXyRQb8i"); w.rename("XXyRQb8i", "a.py") },
	"rsync":           func(w *watched) { w.create(".a.py.e94l1V"); w.date(".a.py.e94l1V"); w.rename(".a.py.e94l1V", "a.py") },
	"rsync --inplace": func(w *watched) { w.overwrite("a.py"); w.date("a.py") },
	"git":             func(w *watched) { w.remove("a.py"); w.create("a.py") },
	"an AI tool":      func(w *watched) { w.create("a.py.tmp.4711.1795532454"); w.rename("a.py.tmp.4711.1795532454", "a.py") },
	"append":          func(w *watched) { w.open("a.py", os.O_APPEND) },
	"deleted":         func(w *watched) { w.remove("a.py") },
}

// TestTreesSaves replays each of them: it is one change, of that file.
func TestTreesSaves(t *testing.T) {
	inModes(t, func(t *testing.T, mode Mode) {
		for name, save := range saves {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := watchTree(t, mode, Filter{}, withFile(t))
				before := time.Now()
				c := w.once(func() { save(w) })
				if c.Path != w.path("a.py") || c.Last.Before(before) || c.Last.After(time.Now()) {
					t.Errorf("change of %q, seen at %s", c.Path, c.Last)
				}
				// Only a temporary file with a name like any other is counted too,
				// and only where each step is told.
				switch name {
				case "kate", "sed", "perl", "rsync":
					if c.Count > 2 {
						t.Errorf("%d files", c.Count)
					}
				default:
					w.wantPath(c, "a.py", 1)
				}
			})
		}
	})
}

// open writes by a descriptor that is opened in that way.
func (w *watched) open(rel string, flag int) {
	w.t.Helper()
	f, err := os.OpenFile(w.path(rel), os.O_WRONLY|flag, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	w.n++
	for range 3 {
		if _, err := f.WriteString("saved " + time.Now().String()); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *watched) create(rel string)    { w.t.Helper(); w.open(rel, os.O_CREATE|os.O_EXCL) }
func (w *watched) truncate(rel string)  { w.t.Helper(); w.open(rel, os.O_TRUNC) }
func (w *watched) overwrite(rel string) { w.t.Helper(); w.open(rel, 0) }

// rewrite truncates after the opening, and waits for the disk, as vim does.
func (w *watched) rewrite(rel string) {
	w.t.Helper()
	f, err := os.OpenFile(w.path(rel), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	for _, do := range []func() error{
		func() error { return f.Truncate(0) },
		func() error { _, err := f.WriteString("saved " + time.Now().String()); return err },
		f.Sync,
	} {
		if err := do(); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *watched) chmod(rel string, mode os.FileMode) {
	w.t.Helper()
	if err := os.Chmod(w.path(rel), mode); err != nil {
		w.t.Fatal(err)
	}
}

// date gives a file an old time, as programs do that copy it with the content.
func (w *watched) date(rel string) {
	w.t.Helper()
	old := time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC)
	if err := os.Chtimes(w.path(rel), old, old); err != nil {
		w.t.Fatal(err)
	}
}

// setxattr changes what belongs to a file and is not its content. Not every
// file system has it.
func (w *watched) setxattr(rel string) {
	_ = unix.Setxattr(w.path(rel), "user.test", []byte("x"), 0)
}
