package pages_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ductor/internal/common/clitest"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/home"
)

func TestEveryToolHasAPage(t *testing.T) {
	var pages []string
	for _, path := range glob(t, "man/*.1") {
		pages = append(pages, strings.TrimSuffix(filepath.Base(path), ".1"))
	}
	same(t, "tools", "cmd/", tools(t), "man/*.1", pages)
	for _, name := range []string{"ductor-files.5", "ductor.7"} {
		readPage(t, name)
	}
}

func TestLint(t *testing.T) {
	clitest.Need(t, "mandoc")
	out, err := exec.Command("mandoc", append([]string{"-T", "lint", "-W", "warning"}, glob(t, "man/*.[1-8]")...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("mandoc: %v\n%s", err, out)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(clitest.Root(), pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: nothing (%v)", pattern, err)
	}
	return paths
}

// help runs a program's --help.
func help(t *testing.T, tool string, verb ...string) page {
	t.Helper()
	out, err := exec.Command(filepath.Join(clitest.Bin(t), tool), append(verb, "--help")...).Output()
	if err != nil {
		t.Fatalf("%s %s --help: %v", tool, verb, err)
	}
	return page{strings.Join(append([]string{tool}, verb...), " ") + " --help", strings.Split(string(out), "\n")}
}

var helpFlag = regexp.MustCompile(`^ +(?:-\w, +)?--(\[no-\])?([a-z][a-z-]*)\S*(.*)$`)

// helpFlags returns the flags of a help text, each with its words.
func helpFlags(p page) map[string]string {
	flags, last := map[string]string{}, ""
	for _, l := range p.lines {
		m := helpFlag.FindStringSubmatch(l)
		switch {
		case m != nil:
			last = m[2]
			flags[last] = m[3]
			if m[1] != "" {
				flags["no-"+last] = m[3]
			}
		case strings.HasPrefix(l, "            ") && last != "":
			flags[last] += " " + strings.TrimSpace(l)
		}
	}
	return flags
}

func keys[V any](m map[string]V) (names []string) {
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}

// global are the flags that every command has.
var global = []string{"help", "version"}

func TestFlagsAndCommands(t *testing.T) {
	for _, tool := range tools(t) {
		p := readPage(t, tool+".1")
		description, synopsis := p.section(t, "DESCRIPTION"), synopses(t, p)
		verbs := help(t, tool).find(`^  ([a-z]+(?: [a-z]+)?)  +[A-Z]`)
		same(t, tool, "--help", verbs, "SYNOPSIS", keys(synopsis))
		same(t, tool, "--help", global, "the page", description.subsection(t, "Options of every command").flags(`^\.It Fl (.*)`))
		for _, verb := range verbs {
			flags := helpFlags(help(t, tool, strings.Fields(verb)...))
			own := missing(keys(flags), global)
			if len(own)+2 != len(flags) {
				t.Errorf("%s %s --help lacks one of %q", tool, verb, global)
			}
			items := description.subsection(t, verb)
			for where, got := range map[string][]string{"SYNOPSIS": synopsis[verb], "DESCRIPTION": items.flags(`^\.It Fl (.*)`)} {
				if len(own)+len(got) > 0 {
					same(t, tool+" "+verb, "--help", own, where, got)
				}
			}
			for name, words := range flags {
				compareDefault(t, items, name, words)
			}
		}
	}
}

// synopses returns the flags of each command in SYNOPSIS.
func synopses(t *testing.T, p page) map[string][]string {
	verb := regexp.MustCompile(`^\.(?:Op )?Cm (.+)$`)
	found, at := map[string][]string{}, ""
	for _, l := range p.section(t, "SYNOPSIS").lines {
		if l == ".Nm" {
			at = ""
		}
		if m := verb.FindStringSubmatch(l); m != nil {
			at = m[1]
			found[at] = nil
		}
		if at != "" {
			found[at] = append(found[at], page{lines: []string{l}}.flags(`^\.(?:Op )?Fl (.*)`)...)
		}
	}
	return found
}

var helpDefault = regexp.MustCompile(`\(([^ ()]+)\)|\(([^ ()]+), or`)

// compareDefault: a default that --help states stands in the page too.
func compareDefault(t *testing.T, items page, name, words string) {
	t.Helper()
	m := helpDefault.FindStringSubmatch(words)
	if m == nil {
		return
	}
	value := m[1] + m[2]
	body := strings.Join(items.item(t, ".It Fl -"+name).lines, "\n")
	if !strings.Contains(body, value) {
		t.Errorf("%s, --%s: the default %q of --help is not in the page", items.name, name, value)
	}
}

// variables returns what the sources of a tool name of the environment: every
// DUCTOR_ word in a string, and every literal that getenv is called with.
func variables(t *testing.T, tool string) (names []string) {
	t.Helper()
	word := regexp.MustCompile(`\b(?:DUCTOR_[A-Z_]*[A-Z]|WATCHDOG_USEC|WATCHDOG_PID)\b`)
	for _, path := range sources(t, tool) {
		f := parse(t, path)
		for _, s := range text(f) {
			names = append(names, word.FindAllString(s, -1)...)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && strings.HasSuffix(strings.ToLower(fmt.Sprint(name(call.Fun))), "getenv") {
				for _, arg := range call.Args {
					names = append(names, text(arg)...)
				}
			}
			return true
		})
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func name(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// sources lists the Go files of ours that a tool is made of, on every system.
func sources(t *testing.T, tool string) (paths []string) {
	t.Helper()
	root := clitest.Root()
	for _, goos := range []string{"linux", "darwin", "windows"} {
		cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,GoFiles", "./cmd/"+tool)
		cmd.Dir, cmd.Env = root, append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
			var p struct {
				ImportPath, Dir string
				GoFiles         []string
			}
			if err := dec.Decode(&p); err != nil {
				t.Fatal(err)
			}
			for _, f := range p.GoFiles {
				if strings.HasPrefix(p.ImportPath, "ductor/") {
					rel, _ := filepath.Rel(root, filepath.Join(p.Dir, f))
					paths = append(paths, rel)
				}
			}
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

func documentedVariables(t *testing.T, p page) (names []string) {
	for _, list := range p.section(t, "ENVIRONMENT").find(`^\.It Ev (.*)`) {
		names = append(names, strings.Split(list, " , ")...)
	}
	return names
}

func TestEnvironment(t *testing.T) {
	var all []string
	for _, tool := range tools(t) {
		used := variables(t, tool)
		all = append(all, used...)
		// PATH is read by the libraries that look for programs.
		used = append(used, "PATH")
		if tool == "ductor-service" {
			used = append(used, listed(t, "cmd/ductor-service/internal/path/path.go", "Variables")...)
		}
		used = slices.DeleteFunc(used, func(s string) bool { return strings.HasPrefix(s, "_") || strings.HasSuffix(s, "_") }) // parts of names
		same(t, tool, "the sources", used, "ENVIRONMENT", documentedVariables(t, readPage(t, tool+".1")))
	}
	all = slices.DeleteFunc(all, func(s string) bool { return !strings.HasPrefix(s, "DUCTOR_") })
	same(t, "ductor.7", "the sources", all, "ENVIRONMENT", documentedVariables(t, readPage(t, "ductor.7")))
}

// listed returns the strings of a variable.
func listed(t *testing.T, path, variable string) (words []string) {
	t.Helper()
	ast.Inspect(parse(t, path), func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && v.Names[0].Name == variable {
			words = text(v)
		}
		return true
	})
	return words
}

var codeItem = `^\.It ([0-9]+ Pq Dv [A-Z]+)$`

func TestExitCodes(t *testing.T) {
	var table []string
	for _, c := range exitcode.Table() {
		table = append(table, fmt.Sprintf("%d Pq Dv %s", c.Number, c.Name))
	}
	got := readPage(t, "ductor.7").subsection(t, "Exit codes").find(codeItem)
	if !slices.Equal(got, table) {
		t.Errorf("ductor.7 has %q, the programs have %q", got, table)
	}
	for _, tool := range tools(t) {
		codes := readPage(t, tool+".1").section(t, "EXIT STATUS").find(`^\.It (.*)`)
		if len(codes) < 3 {
			t.Errorf("%s.1 lists %q", tool, codes)
		}
		at := -1
		if tool == "ductor-service" { // status has two that LSB gave it
			codes = slices.DeleteFunc(codes, func(c string) bool { return c == "3" || c == "4" })
		}
		for _, c := range codes {
			i := slices.Index(table, c)
			if i <= at {
				t.Errorf("%s.1: %q is no code of ductor.7, or out of order", tool, c)
			}
			at = i
		}
	}
}

// TestFilesOfTheHome: what package home knows, ductor-files(5) describes.
func TestFilesOfTheHome(t *testing.T) {
	var known []string
	h := home.Home("/HOME")
	for _, v := range []any{h, h.Run("NAME")} {
		for i := range reflect.TypeOf(v).NumMethod() {
			m := reflect.ValueOf(v).Method(i)
			if m.Type().NumIn() == 0 && m.Type().Out(0).Kind() == reflect.String {
				known = append(known, strings.TrimPrefix(m.Call(nil)[0].String(), "/HOME/"))
			}
		}
	}
	known = append(known, "run/NAME/bot.pid.lock", "run/NAME/bot.pid.json", "run/NAME/hold.lock", "run/NAME/removal.lock", "run/NAME/sandbox.lock", "run/NAME/service.lock", "run/NAME/update.lock") // the siblings of every PID file
	alone := []string{"run", "run/NAME/hold", "run/NAME/removal", "run/NAME/sandbox", "run/NAME/service", "run/NAME/update"}                                                                         // those that are locks alone
	known = slices.DeleteFunc(known, func(s string) bool { return slices.Contains(alone, s) })
	var described []string
	for _, title := range readPage(t, "ductor-files.5").section(t, "DESCRIPTION").titles() {
		if !strings.Contains(title, " ") && title != "Identity" {
			described = append(described, strings.TrimSuffix(title, "/"))
		}
	}
	same(t, "ductor-files.5", "package home", known, "the page", described)
}

// TestWords: closed sets of words that programs print.
func TestWords(t *testing.T) {
	const ql = `^\.Ql ([a-z]+)`
	lock, files := readPage(t, "ductor-lock.1").subsection(t, "status"), readPage(t, "ductor-files.5")
	holder := "internal/common/holder/holder.go"
	same(t, "evidence", holder, constants(t, holder, "Evidence"), "ductor-lock.1", lock.item(t, ".It Va evidence").find(ql))
	same(t, "label", holder, constants(t, holder, "LabelState"), "ductor-lock.1", lock.item(t, ".It Va label").find(ql))

	policy := "cmd/ductor-supervise/internal/policy/policy.go"
	phases := missing(constants(t, policy, "Phase"), []string{"idle"}) // never seen from outside
	same(t, "state", policy, phases, "ductor-files.5", files.subsection(t, "run/NAME/status.json").find(`^\.It Cm (.*)`))
	environment := readPage(t, "ductor-supervise.1").section(t, "ENVIRONMENT")
	same(t, "reason", policy, constants(t, policy, "Cause"), "ductor-supervise.1", environment.item(t, ".It Ev DUCTOR_RESTART_REASON").find(ql))

	event := "cmd/ductor-supervise/internal/journal/event.go"
	same(t, "event type", event, constants(t, event, "Type"), "ductor-files.5", eventTypes(files.subsection(t, "run/NAME/events.jsonl")))
}

// TestServiceWords: those of ductor-service, and the keys of its JSON.
func TestServiceWords(t *testing.T) {
	const source, ql = "cmd/ductor-service/internal/backend/backend.go", `^\.Ql ([a-z-]+)`
	p := readPage(t, "ductor-service.1")
	status, install, doctor := p.subsection(t, "status"), p.subsection(t, "install"), p.subsection(t, "doctor")
	same(t, "state", source, constants(t, source, "State"), "the page", status.item(t, ".It Va state").find(ql))
	same(t, "action", source, constants(t, source, "Action"), "the page", install.item(t, ".It Va action").find(ql))

	var codes []string
	for _, path := range sources(t, "ductor-service") {
		codes = append(codes, problemCodes(t, path)...)
	}
	same(t, "problem", "the sources", codes, "the page", p.subsection(t, "Problems").find(`^\.It Ql ([a-z-]+)`))

	backend := jsonKeys(t, source, "Status")
	for _, inner := range []struct{ key, typeName string }{{"last_exit", "Exit"}, {"problems", "Problem"}} {
		for _, k := range jsonKeys(t, source, inner.typeName) {
			backend = append(backend, inner.key+"."+k)
		}
	}
	keys := append(append(jsonKeys(t, "cmd/ductor-service/status.go", "statusView"), backend...), "schema")
	same(t, "status --json", "the sources", keys, "the page", fields(status))
	bot := strings.Split(status.item(t, ".It Va bot").find(`^\.Va (.*) \.$`)[0], " , ")
	same(t, "status --json, bot", "the sources", jsonKeys(t, "cmd/ductor-service/botstatus.go", "botView"), "the page", bot)

	var told []string
	for _, f := range fields(install) {
		told = append(told, strings.Split(f, " , ")...)
	}
	same(t, "install --json", "the sources", append(jsonKeys(t, "cmd/ductor-service/install.go", "installView"), "schema"), "the page", told)

	keys = append(jsonKeys(t, "cmd/ductor-service/doctor.go", "doctorView"), "schema")
	for _, k := range jsonKeys(t, "cmd/ductor-service/doctor.go", "check") {
		keys = append(keys, "checks."+k)
	}
	same(t, "doctor --json", "the sources", keys, "the page", fields(doctor))
}

// problemCodes are the first words of the values of type Problem in a file.
func problemCodes(t *testing.T, path string) (codes []string) {
	t.Helper()
	add := func(lit *ast.CompositeLit) {
		if len(lit.Elts) == 0 {
			return
		}
		first := lit.Elts[0]
		if kv, ok := first.(*ast.KeyValueExpr); ok {
			first = kv.Value
		}
		codes = append(codes, text(first)...)
	}
	ast.Inspect(parse(t, path), func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		if list, ok := lit.Type.(*ast.ArrayType); ok && name(list.Elt) == "Problem" {
			for _, e := range lit.Elts {
				if inner, ok := e.(*ast.CompositeLit); ok && inner.Type == nil {
					add(inner)
				}
			}
		}
		if lit.Type != nil && name(lit.Type) == "Problem" {
			add(lit)
		}
		return true
	})
	return codes
}

// jsonKeys are the keys that a struct of a file has as JSON.
func jsonKeys(t *testing.T, path, typeName string) (keys []string) {
	t.Helper()
	tag := regexp.MustCompile(`json:"([a-z_]+)`)
	ast.Inspect(parse(t, path), func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != typeName {
			return true
		}
		for _, field := range spec.Type.(*ast.StructType).Fields.List {
			if field.Tag == nil {
				continue
			}
			if m := tag.FindStringSubmatch(field.Tag.Value); m != nil {
				keys = append(keys, m[1])
			}
		}
		return false
	})
	return keys
}

func eventTypes(p page) []string { return p.find(`^\.It Cm (.*)`) }

// TestIgnoredNames: the names that --watch ignores by default.
func TestIgnoredNames(t *testing.T) {
	const source = "cmd/ductor-supervise/internal/watch/sieve.go"
	ignored := listed(t, source, "defaultIgnore")
	lines := readPage(t, "ductor-supervise.1").subsection(t, "Watching").lines
	start, end := slices.Index(lines, ".Bd -literal -offset indent"), slices.Index(lines, ".Ed")
	if start < 0 || end < start {
		t.Fatal("the page has no list of names")
	}
	inPage := strings.Fields(strings.ReplaceAll(strings.Join(lines[start+1:end], " "), `\&`, ""))
	same(t, "ignored names", source, ignored, "ductor-supervise.1", inPage)
}

// TestReferences: links in the texts lead somewhere, and every test that a
// text names as a proof is there.
func TestReferences(t *testing.T) {
	root := clitest.Root()
	tests := testNames(t)
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	path := regexp.MustCompile("`((?:cmd|internal|test|examples|man)/[A-Za-z0-9_./*-]+)`")
	test := regexp.MustCompile(`\b(Test[A-Z]\w+|Fuzz[A-Z]\w+|Benchmark[A-Z]\w+)\b|\b([a-z][a-z0-9_-]*\.txtar)\b`)
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md"} {
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range append(link.FindAllStringSubmatch(string(data), -1), path.FindAllStringSubmatch(string(data), -1)...) {
			if found, _ := filepath.Glob(filepath.Join(root, m[1])); len(found) == 0 {
				t.Errorf("%s refers to %q, which is not there", name, m[1])
			}
		}
		for _, m := range test.FindAllStringSubmatch(string(data), -1) {
			if !slices.Contains(tests, m[1]+m[2]) {
				t.Errorf("%s names %s as a test, and there is none", name, m[1]+m[2])
			}
		}
	}
}

// testNames lists the tests and test scripts of the tree.
func testNames(t *testing.T) (names []string) {
	t.Helper()
	decl := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	err := filepath.WalkDir(clitest.Root(), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if strings.HasSuffix(path, ".txtar") {
			names = append(names, filepath.Base(path))
		}
		if strings.HasSuffix(path, "_test.go") {
			data, err := os.ReadFile(path)
			for _, m := range decl.FindAllStringSubmatch(string(data), -1) {
				names = append(names, m[1])
			}
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
