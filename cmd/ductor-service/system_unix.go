//go:build unix

package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"ductor/cmd/ductor-service/internal/backend"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/home"
)

// defaultCommand leaves it to the supervisor what the bot is.
func defaultCommand() []string { return []string{"ductor-supervise"} }

func openStreams() {}

// ownFolder reports whether a folder is ours: under sudo and su HOME can be
// somebody else's.
func ownFolder(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return true // there is a clearer error to come
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || int(st.Uid) == os.Geteuid()
}

func withoutConsole(program string) string { return program }
func withConsole(program string) string    { return program }

// managerOf is the service manager of this system.
func managerOf(std *cli.IO, o owner, name home.Name) (backend.Manager, error) {
	uid, err := strconv.Atoi(o.uid)
	if err != nil {
		return nil, err
	}
	if runtime.GOOS == "darwin" {
		return backend.NewLaunchd(backend.LaunchdOptions{Name: string(name), Home: string(o.home), UID: uid, UserHome: o.folder}), nil
	}
	return backend.NewSystemd(backend.SystemdOptions{Name: string(name), Home: string(o.home), UID: uid, User: o.name,
		UserHome: o.folder, ConfigHome: std.Getenv("XDG_CONFIG_HOME")}), nil
}

// become replaces this process by the command; it returns only when that
// failed.
func become(program string, words []string) error {
	err := syscall.Exec(program, words, os.Environ())
	return exitcode.Errorf(exitcode.CannotExec, "execute %q: %w", filepath.Base(program), err)
}
