package main

// asGuard: a Job Object needs none.
func asGuard() (int, bool) { return 0, false }
