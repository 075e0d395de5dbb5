//go:build unix

package install

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

// TestPipesDoNotHang: none of the files may make us wait for a writer.
func TestPipesDoNotHang(t *testing.T) {
	for _, name := range []string{"pyvenv.cfg", "pipx_metadata.json", "uv-receipt.toml", "bin/ductor",
		"lib/python3.11/site-packages/ductor-1.0.dist-info/METADATA", "lib/python3.11/site-packages/ductor-1.0.dist-info/INSTALLER",
		"lib/python3.11/site-packages/ductor-1.0.dist-info/direct_url.json", "lib/python3.11/site-packages/ductor-2.dist-info"} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.venv("/v", "1.0")
			path := m.path("/v/" + name)
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			if err := syscall.Mkfifo(path, 0o755); err != nil {
				t.Fatal(err)
			}
			m.find()
		})
	}
}
