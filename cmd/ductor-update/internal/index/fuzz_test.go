package index

import (
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"ductor/cmd/ductor-update/internal/version"
	"ductor/internal/common/exitcode"
)

func replyOf(mediaType string, body []byte) *reply {
	return &reply{mediaType: mediaType, body: body, url: &url.URL{Scheme: "https", Host: "h", Path: "/simple/ductor/"}}
}

// judge lets links go all the way, and demands that nothing of them reaches a
// terminal.
func judge(t *testing.T, links []link, err error) {
	if err != nil {
		if code := exitcode.Of(err); code != exitcode.DataErr && code != exitcode.Unavailable {
			t.Errorf("%v has code %d", err, code)
		}
		printable(t, err.Error())
		return
	}
	w, err := Query{Installed: "1.0", Python: "3.11", GOOS: "linux"}.wish(Config{})
	if err != nil {
		t.Fatal(err)
	}
	latest, cs := w.choose("ductor", links)
	cs.lagging("2.0", latest, false)
	printable(t, latest.String())
	for _, s := range cs.newerThan(latest) {
		printable(t, s.Version)
		printable(t, s.Why)
	}
	if c := cs.all[latest.String()]; !latest.IsZero() && (c == nil || c.rank != installable) {
		t.Errorf("%q is not installable", latest)
	}
	for _, c := range cs.all {
		if c.rank == installable && version.Compare(c.version, latest) > 0 {
			t.Errorf("%q is greater than %q", c.version, latest)
		}
	}
}

func printable(t *testing.T, s string) {
	t.Helper()
	bad := func(r rune) bool { return unicode.Is(unicode.Cc, r) || r == '\u202e' }
	if !utf8.ValidString(s) || strings.ContainsFunc(s, bad) {
		t.Errorf("%q is not fit to print", s)
	}
}

func FuzzSimpleJSON(f *testing.F) {
	f.Add([]byte(`{"meta":{"api-version":"1.1"},"files":[{"url":"ductor-1.0.tar.gz","requires-python":">=3","yanked":false},{"url":"ductor-2.0-py3-none-any.whl","yanked":"\u001b[31m"}]}`))
	f.Add([]byte(`{"files":[{"url":"ductor-99999999999999999999999.zip","yanked":null,"requires-python":null}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		links, err := simpleJSON(replyOf(jsonType, body))
		judge(t, links, err)
	})
}

func FuzzSimpleHTML(f *testing.F) {
	f.Add([]byte(`<base href="/x/"><a href="ductor-1.0.tar.gz#x" data-requires-python="&gt;=3" data-yanked="&#27;[31m">`))
	f.Add([]byte(`<meta name="pypi:repository-version" content="2.0"><!-- <a href=x> --><a href='ductor-1-py3-none-any.whl'`))
	f.Fuzz(func(t *testing.T, body []byte) {
		links, err := simpleHTML(replyOf(htmlType, body))
		judge(t, links, err)
	})
}

func FuzzProject(f *testing.F) {
	f.Add([]byte(`{"info":{"summary":"x","version":"1.0"},"releases":{"1.0":[{"filename":"ductor-1.0.tar.gz","yanked":true,"yanked_reason":"\u009b","requires_python":"<4"}]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, p := replyOf("application/json", body), &project{}
		if err := r.decode(p); err != nil {
			judge(t, nil, err)
			return
		}
		judge(t, p.links(r), nil)
		printable(t, Clean(p.Info.Summary, false, 300))
	})
}

func FuzzReleases(f *testing.F) {
	f.Add([]byte(releases))
	f.Fuzz(func(t *testing.T, body []byte) {
		var rs []release
		if err := replyOf("application/json", body).decode(&rs); err != nil {
			judge(t, nil, err)
			return
		}
		var a Answer
		a.pick(rs, version.Tag{}, false)
		for _, s := range append([]Skipped{{a.Latest, a.Summary}}, a.Skipped...) {
			printable(t, s.Version)
			printable(t, s.Why)
		}
		for _, r := range rs {
			clean := r.clean()
			printable(t, clean.Tag+clean.Title+clean.URL+strings.NewReplacer("\n", "", "\t", "").Replace(clean.Body))
		}
	})
}

func FuzzFileName(f *testing.F) {
	f.Add("ductor-1.0-1-cp39.cp310-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "ductor", 11)
	f.Add("my_bot-1.0.tar.gz", "my-bot", -1)
	f.Fuzz(func(t *testing.T, name, project string, minor int) {
		d, ok := parseFileName(name, normalName(project))
		if !ok {
			return
		}
		if !strings.Contains(strings.ReplaceAll(name, "_", "-"), strings.ReplaceAll(d.version, "_", "-")) {
			t.Errorf("%q: version %q", name, d.version)
		}
		d.fits(system{minor, "linux"})
	})
}

func FuzzPipConf(f *testing.F) {
	f.Add("[global]\nindex-url = https://x/\n  y\n\n[DEFAULT]\na: b\n; c\n")
	f.Add("\r[a]\x1c\n\u00a0b = \n c")
	f.Fuzz(func(t *testing.T, text string) {
		sections, err := parsePipConf([]byte(text))
		if err != nil {
			judge(t, nil, err)
		}
		if _, has := sections["DEFAULT"]; has {
			t.Error("DEFAULT is no section")
		}
	})
}

func FuzzUVConf(f *testing.F) {
	f.Add("index-url = \"http://a/\"\n[[index]]\nurl = \"b\"\ndefault = true\n")
	f.Fuzz(func(t *testing.T, text string) {
		o, err := parseUVConf([]byte(text))
		if err != nil {
			judge(t, nil, err)
			return
		}
		var found uvFound
		found.take(o, "x")
		if c, err := found.config(func(string) string { return "" }); err == nil && len(c.Indexes) == 0 {
			t.Error("no index and no error")
		}
	})
}

func FuzzClean(f *testing.F) {
	f.Add("a\x1b[31mb\x1b]0;t\x07c\u009b1md\x1b(Be\x1b", 10)
	f.Add("\xff\xfe\u202e\r\n\t", 3)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = 3 + max(0, limit)%1000
		if got := Clean(s, false, limit); len(got) > limit {
			t.Errorf("%q has %d bytes", got, len(got))
		} else {
			printable(t, got)
		}
		printable(t, strings.NewReplacer("\n", "", "\t", "").Replace(Clean(s, true, limit)))
	})
}

func FuzzIndexURL(f *testing.F) {
	f.Add("https://u:p@h:1/simple/?q#f", "ductor")
	f.Add("http://[::1]/%2f/../simple", "x.y")
	f.Fuzz(func(t *testing.T, text, name string) {
		i, err := parseIndex(text, "x")
		if err != nil {
			judge(t, nil, err)
			return
		}
		printable(t, i.String())
		if checkName(name) == nil {
			for _, u := range []*url.URL{i.url.JoinPath(normalName(name), "/"), projectURL(i, name)} {
				if u.Host != i.url.Host || !strings.Contains(filepath.ToSlash(u.Path), "/"+normalName(name)+"/") {
					t.Errorf("%q: %q", text, u)
				}
			}
		}
	})
}
