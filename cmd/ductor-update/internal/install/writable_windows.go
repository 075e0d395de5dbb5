package install

// writable leaves it to the installer to find out: only a try would tell.
func writable(string) bool { return true }
