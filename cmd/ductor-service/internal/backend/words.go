package backend

import (
	"regexp"
	"slices"
	"strings"

	"ductor/cmd/ductor-service/internal/definition"
)

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// ShellQuote writes a word so that a shell reads it as it is.
func ShellQuote(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// reinstall is the command line that would install a service as it was asked
// for.
func reinstall(s definition.Service, flags ...string) string {
	words := append([]string{"ductor-service", "install"}, flags...)
	if s.Name != "ductor" {
		words = append(words, "--name", s.Name)
	}
	for _, e := range s.Env {
		k, _, _ := strings.Cut(e, "=")
		words = append(words, "--env", k+"=…") // it may be a secret
	}
	if s.Updater != "" {
		words = append(words, "--timer", "update")
	}
	if s.Sandbox != "" {
		words = append(words, "--also-sandbox")
	}
	words = append(words, "--")
	for _, w := range asked(s) {
		words = append(words, ShellQuote(w))
	}
	if !s.DefaultHome {
		words = append([]string{"DUCTOR_HOME=" + ShellQuote(s.Home)}, words...)
	}
	return strings.Join(words, " ")
}

// asked is the command without the hook that install put in front: typed again,
// it would be the user's own, and stay for ever.
func asked(s definition.Service) []string {
	i := slices.Index(s.Command, "--on-crash")
	if s.Rollback == "" || i < 0 || i+2 > len(s.Command) {
		return s.Command
	}
	return slices.Delete(slices.Clone(s.Command), i, i+2)
}

// missing is the first program of a service that is gone, or "".
func missing(s definition.Service) string {
	for _, p := range []string{s.Runner, s.Command[0]} {
		if !executable(p) {
			return p
		}
	}
	return ""
}
