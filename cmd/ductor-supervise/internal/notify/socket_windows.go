package notify

import "errors"

// KnowsSenders: nobody sends.
const KnowsSenders = false

// Socket does not exist on Windows.
type Socket struct{}

// Listen fails: what would send to the socket is not there either.
func Listen(string) (*Socket, error) {
	return nil, errors.New("--notify: Windows has no sd_notify; use --heartbeat")
}

// Path does nothing here.
func (*Socket) Path() string { return "" }

// Messages does nothing here.
func (*Socket) Messages() <-chan Message { return nil }

// Drain does nothing here.
func (*Socket) Drain() []Message { return nil }

// Close does nothing here.
func (*Socket) Close() error { return nil }
