package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"ductor/internal/common/cli"
)

// TestHelp builds the grammar, renders every help text, and asks for what a
// reader needs of it.
func TestHelp(t *testing.T) {
	t.Setenv("DUCTOR_HOME", t.TempDir())
	std := &cli.IO{Tool: "ductor-sandbox", Out: &bytes.Buffer{}, Err: &bytes.Buffer{}, Getenv: os.Getenv}
	parser, err := cli.New(std, description, &grammar{})
	if err != nil {
		t.Fatal(err)
	}
	verbs := [][]string{nil}
	for _, node := range parser.Model.Leaves(false) {
		var words []string
		for n := node; n.Parent != nil; n = n.Parent {
			words = append([]string{n.Name}, words...)
		}
		verbs = append(verbs, words)
		if node.Help == "" {
			t.Errorf("%s has no help", node.Name)
		}
		for _, group := range node.AllFlags(false) {
			for _, flag := range group {
				if flag.Help == "" {
					t.Errorf("%s --%s has no help", node.Name, flag.Name)
				}
			}
		}
		for _, arg := range node.Positional {
			if arg.Help == "" {
				t.Errorf("%s <%s> has no help", node.Name, arg.Name)
			}
		}
	}
	if len(verbs) < 8 {
		t.Errorf("%d verbs, fewer than there are: %v", len(verbs)-1, verbs)
	}
	for _, verb := range verbs {
		for _, flag := range []string{"--help", "-h"} {
			var out, errs bytes.Buffer
			if code := run(append(verb, flag), nil, &out, &errs); code != 0 || errs.Len() > 0 {
				t.Errorf("%v %s: code %d, stderr %q", verb, flag, code, &errs)
			}
			want := "Usage: " + strings.Join(append([]string{"ductor-sandbox"}, verb...), " ")
			if !strings.HasPrefix(out.String(), want) {
				t.Errorf("%v %s does not start with %q:\n%s", verb, flag, want, &out)
			}
		}
	}
}
