package watch

func limitText(error) string { return "" }

func remedy(error, int) string { return "" }

func crowded(int) error { return nil }

func watchLimit() (n int, name string) { return 0, "" }

// watchAbove: no folder is renamed while one below it is watched.
const watchAbove = false
