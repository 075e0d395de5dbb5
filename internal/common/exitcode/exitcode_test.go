package exitcode

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

func TestOf(t *testing.T) {
	coded := Errorf(NoPerm, "no: %w", fs.ErrPermission)
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, OK},
		{errors.New("plain"), OSErr},
		{coded, NoPerm},
		{fmt.Errorf("more: %w", coded), NoPerm},
		{errors.Join(errors.New("plain"), coded), NoPerm},
		{Status(3), 3},
		{fmt.Errorf("more: %w", Status(0)), OK},
		{Errorf(Usage, "outer: %w", coded), Usage},
	} {
		if got := Of(c.err); got != c.want {
			t.Errorf("Of(%v) = %d, want %d", c.err, got, c.want)
		}
	}
	if !errors.Is(coded, fs.ErrPermission) {
		t.Error("the cause is lost")
	}
}

func TestErrorCarriesHintAndID(t *testing.T) {
	e := Errorf(TempFail, "busy").WithHint("try %d", 1).WithID("held")
	if e.Error() != "busy" || e.Hint != "try 1" || e.ID != "held" || e.ExitCode() != TempFail {
		t.Errorf("%+v", e)
	}
}

// TestTable: ascending, so that no number has two names, and never 2, which is
// a Go panic's.
func TestTable(t *testing.T) {
	last, names := -1, map[string]bool{}
	for _, c := range Table() {
		if c.Number <= last || c.Number == 2 || c.Number >= SignalBase {
			t.Errorf("%d (%s) follows %d", c.Number, c.Name, last)
		}
		if names[c.Name] || c.Name == "" || c.Meaning == "" {
			t.Errorf("%d: name %q, meaning %q", c.Number, c.Name, c.Meaning)
		}
		last, names[c.Name] = c.Number, true
	}
}
