package snapshot

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// FuzzRecord: whatever a RECORD lists, it is about files of the environment.
func FuzzRecord(f *testing.F) {
	f.Add("lib/python3.11/site-packages", []byte("ductor_bot/__init__.py,sha256=x,3\n../../../bin/ductor,,\n../../../../etc/passwd,,\n/etc/passwd,,\n\"a\nb\",,\n"))
	f.Fuzz(func(t *testing.T, site string, record []byte) {
		r := restoration{prefix: filepath.FromSlash("/env"), installed: map[string]bool{}}
		r.note(site, record)
		for path := range r.installed {
			if !filepath.IsLocal(path) {
				t.Errorf("%q", path)
			}
		}
	})
}

// FuzzManifest: no part leads out of the environment.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"schema":1,"parts":[{"path":"bin","there":true},{"path":"../x"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "manifest.json"), data, 0o600))
		m, err := load(dir)
		if err != nil {
			return
		}
		for _, p := range m.Parts {
			if !filepath.IsLocal(p.path()) {
				text, _ := json.Marshal(m)
				t.Errorf("%q in %s", p.path(), text)
			}
		}
	})
}
