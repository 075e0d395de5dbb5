package inside

// Prefix begins the line by which Main says that the command of a run was not
// started.
func Prefix(run string) string { return "\x00ductor-sandbox " + run + " " }
