package inside

// Refused and Signal are what Main says about a run on standard error, each with
// more words on a line that begins with Prefix.
const (
	Refused = "refused " // nothing was started, and why
	Signal  = "signal "  // the command died of it: SIGTERM
)

// Prefix begins a line that Main has written, and not the command. It has the
// run's ID in it, so that nothing else begins so by accident.
func Prefix(run string) string { return "\x00ductor-sandbox " + run + " " }
