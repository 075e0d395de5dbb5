package backend

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/atomicfile"
)

// Examine looks for what status does not: a log that cannot be read, and
// services of ours whose programs are gone.
func (s *Systemd) Examine(context.Context) (problems []Problem) {
	if s.booted() != nil {
		return nil
	}
	if !s.journalReadable() {
		problems = append(problems, s.noJournal())
	}
	for _, st := range s.others() {
		if gone := missing(st.Service); gone != "" && st.Part == definition.PartService {
			problems = append(problems, Problem{"orphan", fmt.Sprintf("%s.service starts %q, which is gone", st.Name, gone),
				fmt.Sprintf("DUCTOR_HOME=%s ductor-service uninstall --name %s", ShellQuote(st.Home), st.Name)})
		}
	}
	return problems
}

func (s *Systemd) noJournal() Problem {
	return Problem{"no-journal", "you may read no journal, so that ductor-service logs shows nothing", "sudo usermod -aG systemd-journal " + ShellQuote(s.user)}
}

// journalReadable: without a persistent journal there is none for each user, and
// the system's is not for everybody.
func (s *Systemd) journalReadable() bool {
	for _, dir := range []string{"/var/log/journal", "/run/log/journal"} {
		files, _ := filepath.Glob(filepath.Join(s.root, dir, "*", "*.journal"))
		for _, path := range files {
			if f, err := os.Open(path); err == nil {
				f.Close()
				return true
			}
		}
	}
	return false
}

// others are the services of ours of other names.
func (s *Systemd) others() (list []definition.Stored) {
	paths, _ := filepath.Glob(filepath.Join(escapeGlob(s.folder), "*.service"))
	for _, path := range paths {
		data, err := atomicfile.Read(path, maxDefinition)
		if err != nil {
			continue
		}
		if st, err := definition.Read(s.Platform(), data); err == nil && st.Name != s.name {
			list = append(list, st)
		}
	}
	return list
}
