package main

import (
	"bytes"
	"context"
	"runtime"

	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
)

// Run prints what install would store, byte by byte: with --timer the
// definitions of the timer in place of the service's.
func (c *renderCmd) Run(std *cli.IO) error {
	o, err := findOwner(std)
	if err != nil {
		return err
	}
	m := maker{std: std, owner: o, flags: c.serviceFlags, lenient: true}
	s, err := m.service()
	if err != nil {
		return err
	}
	p := definition.Platform(c.Platform)
	if p == "" {
		p = platforms[runtime.GOOS]
	}
	if c.Timer == "" && system(p) == runtime.GOOS {
		s = m.withRollback(context.Background(), s)
	}
	files, err := s.Render(p)
	if err != nil {
		return exitcode.Errorf(exitcode.Usage, "%w", err)
	}
	if c.Timer == "" {
		files = files[:1]
	} else {
		files = files[1:]
	}
	_, err = std.Out.Write(join(files))
	return err
}

// platforms are those of install.
var platforms = map[string]definition.Platform{"linux": definition.SystemdUser, "darwin": definition.LaunchdAgent, "windows": definition.Task}

// system is the one that a platform is of. Whether a bot can be upgraded is not
// asked for a definition of another system, because the answer is of this one.
func system(p definition.Platform) string {
	switch p {
	case definition.SystemdUser, definition.SystemdSystem:
		return "linux"
	case definition.LaunchdAgent, definition.LaunchdDaemon:
		return "darwin"
	}
	return "windows"
}

// join puts a name in front of each of several, as systemctl cat does.
func join(files []definition.File) []byte {
	if len(files) == 1 {
		return files[0].Data
	}
	var b bytes.Buffer
	for i, f := range files {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString("# " + f.Name + "\n")
		b.Write(f.Data)
	}
	return b.Bytes()
}
