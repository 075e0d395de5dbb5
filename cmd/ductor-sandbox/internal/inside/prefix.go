package inside

// Refused, Signal and Ended are what Main says about a run on standard error, each
// on a line that begins with Prefix. One of them is there, unless standard error is
// a terminal, or Main was killed: then its exit code is not the command's.
const (
	Refused = "refused " // nothing was started, and why
	Signal  = "signal "  // the command died of it: SIGTERM
	Ended   = "ended"    // it ended otherwise
)

// Prefix begins a line that Main has written, and not the command. It has the
// run's ID in it, so that nothing else begins so by accident.
func Prefix(run string) string { return "\x00ductor-sandbox " + run + " " }
