package buildinfo

import (
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	if got := Version(); !strings.HasPrefix(got, "devel") {
		t.Errorf("a test binary calls itself %q", got)
	}
	version = "v1.2.3"
	defer func() { version = "" }()
	if got := Version(); got != "v1.2.3" {
		t.Errorf("a release calls itself %q", got)
	}
}
