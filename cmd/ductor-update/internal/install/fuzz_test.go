package install

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"unicode"
)

func FuzzScript(f *testing.F) {
	for _, s := range []string{
		"#!/usr/bin/python3\n", "#! /usr/bin/python3.11 -E\r\n", "#!/usr/bin/env python3\n", "#!/usr/bin/env -S python3 -E\n",
		"#!/usr/bin/env -S X=1 -u Y /v/bin/python -u\n", "#!/usr/bin/env -Spython3\n", "#!/usr/bin/env --split-string=python3 -E\n",
		"#!/bin/sh\n'''exec' \"/my v/bin/python\" \"$0\" \"$@\"\n' '''\n", "#!/bin/sh\n'''exec' '/it'\"'\"'s/bin/python' \"$0\" \"$@\"\n",
		"#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python3' \"$0\" \"$@\"\n", "#!/bin/bash\nexec x\n",
		"", "#!", "#!\n", "\x7fELF", "#!/usr/bin/env\n", "#!/usr/bin/env -u\n", "#!\"C:\\a b\\python.exe\"\n", "#!/x/pypy3\n", "#!/x/perl\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, ok := parseScript(data)
		checkLauncher(t, l, ok)
		if ok && !strings.HasPrefix(string(data), "#!") {
			t.Fatalf("%q of %q", l.python, data)
		}
	})
}

func checkLauncher(t *testing.T, l launcher, ok bool) {
	t.Helper()
	switch {
	case !ok:
	case !pythons().MatchString(base(l.python)), strings.ContainsAny(l.python, "\r\n"):
		t.Fatalf("%+v", l)
	case (l.search || l.beside) && strings.ContainsAny(l.python, `/\`):
		t.Fatalf("a name with a path: %+v", l)
	}
}

func FuzzExe(f *testing.F) {
	for _, s := range []string{"MZ#!C:\\py\\python.exe\nPK\x03\x04", "MZ#!\"C:\\a b\\pythonw.exe\" -E\r\n\r\nPK\x03\x04", "MZ#!C:\\a b\\python.exe\r\nPK\x03\x04",
		"MZ", "", "MZ#!x\nPK\x03\x04#!y\\python.exe\nPK\x03\x04"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, ok := parseExe(data)
		checkLauncher(t, l, ok)
	})
}

func TestLaunchers(t *testing.T) {
	for in, want := range map[string]launcher{
		"#!/usr/bin/python3\n":                                                                     {python: "/usr/bin/python3"},
		"#! /v/bin/python3.11 -E\r\n":                                                              {python: "/v/bin/python3.11"},
		"#!/usr/bin/env python3\n":                                                                 {python: "python3", search: true},
		"#!/usr/bin/env -S python3 -E\n":                                                           {python: "python3", search: true},
		"#!/usr/bin/env -Spython3 -E\n":                                                            {python: "python3", search: true},
		"#!/usr/bin/env -i -u HOME X=1 /v/bin/python\n":                                            {python: "/v/bin/python"},
		"#!/bin/sh\n'''exec' \"/my v/bin/python\" \"$0\" \"$@\"\n' '''\n":                          {python: "/my v/bin/python"},
		"#!/bin/sh\n'''exec' /very/long/bin/python3 \"$0\" \"$@\"\n' '''\n":                        {python: "/very/long/bin/python3"},
		"#!/bin/sh\n'''exec' '/it'\"'\"'s/bin/python' \"$0\" \"$@\"\n' '''":                        {python: "/it's/bin/python"},
		"#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python' \"$0\" \"$@\"\n": {python: "python", beside: true},
		"#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath \"$0\")\")\"/'python3' \"$0\" \"$@\"\n":   {python: "python3", beside: true},
		"#!/x/pypy3.10\n":                   {python: "/x/pypy3.10"},
		"#!\"C:\\a b\\pythonw.exe\" -E\r\n": {python: `C:\a b\pythonw.exe`},
	} {
		if got, ok := parseScript([]byte(in)); !ok || got != want {
			t.Errorf("%q: %+v, %v", in, got, ok)
		}
	}
	for in, want := range map[string]string{
		"MZ#!C:\\py\\python.exe\r\nPK\x03\x04":                  `C:\py\python.exe`,
		"MZ#!\"C:\\a b\\pythonw.exe\" -E\n\r\nPK\x03\x04":       `C:\a b\pythonw.exe`,
		"MZ#!C:\\a b\\python.exe\nPK\x03\x04":                   `C:\a b\python.exe`,
		"MZ#!no\nPK\x03\x04..#!C:\\v\\python.exe\nPK\x03\x04..": `C:\v\python.exe`,
	} {
		if got, ok := parseExe([]byte(in)); !ok || got.python != want {
			t.Errorf("%q: %+v, %v", in, got, ok)
		}
	}
}

func FuzzCfg(f *testing.F) {
	for _, s := range []string{"home = /usr/bin\nversion = 3.11.2\n", "version_info = 3.12.4.final.0\r\nuv = 0.8\n", "=", "a==b\n", "include-system-site-packages = TRUE", "\xff\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg := parseCfg(data)
		for _, key := range []string{"version", "version_info"} {
			if v := plainVersion(cfg[key]); v != "" && !isVersion(v) {
				t.Fatalf("%q of %q", v, cfg[key])
			} else if m := minor(v); m != "" && !strings.HasPrefix(v, m) {
				t.Fatalf("%q of %q", m, v)
			}
		}
	})
}

func FuzzMetadata(f *testing.F) {
	for _, s := range []string{"Metadata-Version: 2.1\nName: ductor\nVersion: 1.0\n\nbody", "name:x\r\nVERSION:1!2.0rc1.post1.dev2+l.1\r\n", "Version: 1", "Version: 1\x1b[0m\n", "\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		name, version := parseMetadata(data)
		if name != "" && !isName(name) || version != "" && !isVersion(version) {
			t.Fatalf("%q, %q", name, version)
		}
	})
}

func FuzzDirect(f *testing.F) {
	for _, s := range []string{`{"dir_info":{"editable":true},"url":"file:///x"}`, `{"vcs_info":{"vcs":"git"},"url":"ssh://git:pw@h/x"}`, `{"archive_info":{}}`, `null`, `[]`, `{`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := parseDirect(data)
		if err == nil && d.kind == fromIndex {
			t.Fatal("what has a direct_url.json did not come from an index")
		}
		if u, perr := url.Parse(d.url); perr != nil || u.User != nil {
			t.Fatalf("%q, %v", d.url, perr)
		}
		if strings.ContainsFunc(d.url, unicode.IsControl) {
			t.Fatalf("%q", d.url)
		}
	})
}

func FuzzPipx(f *testing.F) {
	for _, s := range []string{`{"main_package":{"package":"a","package_or_url":"a[b]==1","pinned":true,"pip_args":["-i","x","--extra-index-url=y"]}}`, `{"main_package":null}`, `null`, `{"injected_packages":{"x":{}}}`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := parsePipx(data)
		if err != nil && d.Main.Package != "" {
			t.Fatal("half of it was read")
		}
		_, spec := parseRequirement(d.Main.Spec)
		pins(spec)
		parseArgs(d.Main.Args)
		if _, err := json.Marshal(d); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzReceipt(f *testing.F) {
	for _, s := range []string{"[tool]\nrequirements = [{ name = \"a\", specifier = \"==1\" }]\n", "[tool]\nrequirements = [\"a<2\"]\nentrypoints = [{name = \"a\", install-path = \"/b/a\"}]\n[tool.options]\nindex = [{url = \"x\", default = true}]\n",
		"tool = 1", "[[tool.requirements]]\nname = \"a\"\n", "\xff", "a = [[[[[[1]]]]]]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseReceipt(data)
		if err != nil && (len(r.requirements) > 0 || r.binDir != "") {
			t.Fatal("half of it was read")
		}
		pins(r.specifier("a"))
	})
}

func TestRequirements(t *testing.T) {
	for in, want := range map[string][2]string{
		"ductor": {"ductor", ""}, "ductor==1.0": {"ductor", "==1.0"}, "ductor[a,b] >= 1, < 2 ; python_version > '3'": {"ductor", ">= 1, < 2"},
		"ductor (>=1)": {"ductor", ">=1"}, "ductor @ git+https://h/x@v==1": {"", ""}, "git+https://h/x": {"", ""}, "./x": {"", ""}, "/abs/path": {"", ""},
	} {
		if name, spec := parseRequirement(in); name != want[0] || spec != want[1] {
			t.Errorf("%q: %q, %q", in, name, spec)
		}
	}
	for spec, want := range map[string]bool{"": false, "==1.0": true, "===1.0": true, "==1.*": false, ">=1": false, ">=1,==1.2": true, "~=1.2": false, "!=1": false} {
		if pins(spec) != want {
			t.Errorf("pins(%q) = %v", spec, !want)
		}
	}
}
