package notify

import (
	"fmt"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func show(m Message) string {
	status := "nil"
	if m.Status != nil {
		status = fmt.Sprintf("%q", *m.Status)
	}
	m.Status = nil
	return fmt.Sprintf("%+v status %s", m, status)
}
