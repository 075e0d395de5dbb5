package index

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"ductor/internal/common/exitcode"
)

const page = "/simple/ductor/"

// TestLatest has one page of files for each rule.
func TestLatest(t *testing.T) {
	for _, c := range []struct {
		name    string
		files   []string
		query   Query
		latest  string
		newer   bool
		skipped []Skipped
	}{
		{"the greatest by PEP 440", []string{"ductor-1.9.0-py3-none-any.whl", "ductor-1.10.0.tar.gz", "ductor-1.2.tar.gz"}, Query{Installed: "1.9.0"}, "1.10.0", true, nil},
		{"the same in another spelling is not newer", []string{"ductor-1.0.tar.gz"}, Query{Installed: "1.0.0"}, "1.0", false, nil},
		{"a lagging index offers nothing lower as newer", []string{"ductor-1.0.tar.gz"}, Query{Installed: "1.1"}, "1.0", false, nil},
		{"nothing installed", []string{"ductor-1.0.tar.gz"}, Query{}, "1.0", true, nil},
		{"post-releases count", []string{"ductor-1.0.tar.gz", "ductor-1.0.post1-py3-none-any.whl"}, Query{Installed: "1.0"}, "1.0.post1", true, nil},
		{"yanked", []string{"ductor-1.0.tar.gz", "ductor-1.1.tar.gz yanked=broken", "ductor-1.2.tar.gz yanked=\x1b[31mred\x1b[0m"}, Query{Installed: "0.9"}, "1.0", true,
			[]Skipped{{"1.2", "yanked: red"}, {"1.1", "yanked: broken"}}},
		{"one file of two is yanked", []string{"ductor-1.1.tar.gz yanked=x", "ductor-1.1-py3-none-any.whl"}, Query{}, "1.1", true, nil},
		{"requires-python", []string{"ductor-1.0.tar.gz requires-python=>=3.8", "ductor-2.0.tar.gz requires-python=>=3.99"}, Query{Python: "3.11.7"}, "1.0", true, []Skipped{{"2.0", "requires Python >=3.99"}}},
		{"requires-python of one file only", []string{"ductor-2.0.tar.gz requires-python=>=3.99", "ductor-2.0-py3-none-any.whl requires-python=>=3.9"}, Query{Python: "3.11.7"}, "2.0", true, nil},
		{"a pre-release of Python counts as its release", []string{"ductor-1.0.tar.gz requires-python=>=3.14"}, Query{Python: "3.14.0rc1"}, "1.0", true, nil},
		{"an unknown Python is not checked", []string{"ductor-1.0.tar.gz requires-python=>=3.99"}, Query{}, "1.0", true, nil},
		{"a malformed requires-python is no hindrance", []string{"ductor-1.0.tar.gz requires-python=three"}, Query{Python: "3.11"}, "1.0", true, nil},
		{"pre-releases are left out", []string{"ductor-1.0.tar.gz", "ductor-1.1rc1.tar.gz", "ductor-1.2.dev3.tar.gz"}, Query{}, "1.0", true, []Skipped{{"1.2.dev3", "a pre-release"}, {"1.1rc1", "a pre-release"}}},
		{"unless asked for", []string{"ductor-1.0.tar.gz", "ductor-1.1rc1.tar.gz"}, Query{Pre: true}, "1.1rc1", true, nil},
		{"unless one is installed", []string{"ductor-1.0.tar.gz", "ductor-1.1rc2.tar.gz"}, Query{Installed: "1.1rc1"}, "1.1rc2", true, nil},
		{"unless there is nothing else", []string{"ductor-1.1rc1.tar.gz", "ductor-1.1rc2.tar.gz"}, Query{}, "1.1rc2", true, nil},
		{"unless all else does not fit", []string{"ductor-1.1rc1.tar.gz", "ductor-1.0.tar.gz requires-python=>=3.99"}, Query{Python: "3.11"}, "1.1rc1", true, nil},
		{"a yanked final version is something else", []string{"ductor-1.1rc1.tar.gz", "ductor-1.0.tar.gz yanked=x"}, Query{}, "", false, []Skipped{{"1.1rc1", "a pre-release"}, {"1.0", "yanked: x"}}},
		{"a final one beats its candidates", []string{"ductor-1.1rc1.tar.gz", "ductor-1.1.tar.gz"}, Query{Installed: "1.1rc1"}, "1.1", true, nil},
		{"files of others", []string{"ductor-1.0.tar.gz", "ductor-bot-2.0.tar.gz", "ductor_bot-2.0-py3-none-any.whl", "other-3.0.tar.gz", "ductor-4.0.exe", "ductor-5.0.tar.gz.asc", "ductor.whl"}, Query{}, "1.0", true, nil},
		{"no version", []string{"ductor-1.0.tar.gz", "ductor-latest.tar.gz", "ductor-2.0-final!.tar.gz"}, Query{}, "1.0", true, nil},
		{"beyond 64 bits", []string{"ductor-1.0.tar.gz", "ductor-20260223123456789012345.0.tar.gz", "ductor-20260223123456789012345.0.zip"}, Query{}, "1.0", true, []Skipped{{"20260223123456789012345.0", "has a number of more than 64 bits"}}},
		{"wheels for others", []string{"ductor-1.0-py3-none-any.whl", "ductor-1.1-py3-none-win_amd64.whl", "ductor-1.2-cp39-cp39-manylinux_2_17_x86_64.whl", "ductor-1.3-py2-none-any.whl", "ductor-1.4-py399-none-any.whl"},
			Query{Python: "3.11.2"}, "1.0", true, []Skipped{{"1.4", "no file for this system"}, {"1.3", "no file for this system"}, {"1.2", "no file for this system"}, {"1.1", "no file for this system"}}},
		{"wheels for us", []string{"ductor-1.4-2-cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "ductor-1.3-cp311-cp311-musllinux_1_1_x86_64.whl", "ductor-1.2-py2.py3-none-any.whl"}, Query{Python: "3.11.2"}, "1.4", true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			h.files(page, c.files...)
			a := ask(t, h, c.query)
			if a.Latest != c.latest || a.Newer != c.newer || !reflect.DeepEqual(a.Skipped, c.skipped) {
				t.Errorf("%+v", a)
			}
			if a.Source != h.URL+page || a.NotModified {
				t.Errorf("source %q, %+v", a.Source, a)
			}
		})
	}
}

func TestSkippedAreNotCountless(t *testing.T) {
	h := newHost(t)
	var files []string
	for i := range 1000 {
		files = append(files, fmt.Sprintf("ductor-1.%d.tar.gz yanked=x", i), fmt.Sprintf("ductor-%d123456789012345678901.tar.gz", i+1))
	}
	h.files(page, files...)
	if a := ask(t, h, Query{}); len(a.Skipped) != maxSkipped {
		t.Errorf("%d are told", len(a.Skipped))
	}
}

func TestNamesAreNormalised(t *testing.T) {
	h := newHost(t)
	h.files("/simple/my-odd-bot/", "My.Odd_Bot-1.0.tar.gz", "my_odd_bot-1.1-py3-none-any.whl", "my-odd-bot-1.2.zip")
	if a := ask(t, h, Query{Package: "My_.odd--Bot"}); a.Latest != "1.2" {
		t.Errorf("%+v", a)
	}
	for _, name := range []string{"", "../etc", "a/b", "-x", "x.", "x y", "x\x1b[31m", "ü", "a?b", "."} {
		_, err := newClient(t).Ask(t.Context(), h.config(), Query{Package: name})
		checkError(t, err, exitcode.Usage)
	}
}

func TestHTML(t *testing.T) {
	h := newHost(t)
	h.put(page, "text/html; charset=utf-8", `<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.0"><base href="/mirror/"><base href="/x/x-9.tar.gz">
<title><a href="ductor-10.0.tar.gz">not a link</a></title></head><body>
<!-- <a href="ductor-9.0.tar.gz">9.0</a> --><script>"<a href='ductor-8.0.tar.gz'>"</script>
<A HREF="ductor-1.0.tar.gz#sha256=00" Data-Requires-Python="&gt;=3.8,&#60;4">ductor-1.0.tar.gz</A>
<a href='ductor-1.1%2B1.tar.gz?x=y' data-requires-python='&gt;=3.99'>1.1</a>
<a href=ductor-1.2.tar.gz data-yanked>1.2</a>
<a href="ductor-1.3.tar.gz" data-yanked="bad &amp; &lt;worse&gt;">1.3</a>
<a href="https://elsewhere.example/ductor-0.9.tar.gz"/><a name="top"><a href=""><a href="../"><a href="::bad%zz">
`)
	a := ask(t, h, Query{Python: "3.11"})
	want := []Skipped{{"1.3", "yanked: bad & <worse>"}, {"1.2", "yanked"}, {"1.1+1", "requires Python >=3.99"}}
	if a.Latest != "1.0" || !reflect.DeepEqual(a.Skipped, want) {
		t.Errorf("%+v", a)
	}
	if got := h.header[0].Get("Accept"); got != simpleAccept {
		t.Errorf("Accept: %q", got)
	}
	if got := h.header[0].Get("User-Agent"); !strings.HasPrefix(got, "ductor-update/") {
		t.Errorf("User-Agent: %q", got)
	}
}

// TestSeveralIndexes: pip takes the best of all, uv the first that knows it;
// formats are mixed.
func TestSeveralIndexes(t *testing.T) {
	none, one, two := newHost(t), newHost(t), newHost(t)
	one.put(page, htmlType, `<a href="ductor-1.0.tar.gz">`)
	two.files(page, "ductor-2.0.tar.gz")
	cfg := configOf(none.URL+"/simple/", one.URL+"/simple", two.URL+"/simple/")
	a, err := newClient(t).Ask(t.Context(), cfg, withDefaults(Query{}))
	if err != nil || a.Latest != "2.0" || a.Source != one.URL+page || a.Validator != "" {
		t.Errorf("best of all: %+v, %v", a, err)
	}
	cfg.FirstWins = true
	a, err = newClient(t).Ask(t.Context(), cfg, withDefaults(Query{}))
	if err != nil || a.Latest != "1.0" {
		t.Errorf("first one: %+v, %v", a, err)
	}
	one.fail(page, 500)
	wantError(t, newClient(t), cfg, Query{}, exitcode.Unavailable, one.URL, "500")
}

func TestPreOfTheConfiguration(t *testing.T) {
	h := newHost(t)
	h.files(page, "ductor-1.0.tar.gz", "ductor-1.1rc1.tar.gz")
	cfg := h.config()
	cfg.Pre = true
	a, err := newClient(t).Ask(t.Context(), cfg, withDefaults(Query{}))
	if err != nil || a.Latest != "1.1rc1" {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestSummary(t *testing.T) {
	h := newHost(t)
	h.files(page, "ductor-1.0.tar.gz")
	h.put("/pypi/ductor/json", "application/json", `{"info":{"summary":"A \u001b]8;;http://x\u0007bot\u001b[0m\nfor\u202e you","version":"1.1"},"releases":{}}`)
	a := ask(t, h, Query{})
	if a.Summary != "A bot for you" || a.Latest != "1.0" {
		t.Errorf("%+v", a)
	}
	if want := []Skipped{{"1.1", "not yet in the index that installers ask"}}; !reflect.DeepEqual(a.Skipped, want) {
		t.Errorf("a lagging index: %+v", a.Skipped)
	}
	for _, broken := range []string{`{"info":{"summary":7}}`, `<html>`, ``} {
		h.put("/pypi/ductor/json", "application/json", broken)
		if a := ask(t, h, Query{}); a.Latest != "1.0" || a.Summary != "" {
			t.Errorf("%q: %+v", broken, a)
		}
	}
	h.put("/pypi/ductor/json", "application/json", `{"info":{"summary":"`+strings.Repeat("é", 10_000)+`"}}`)
	if a := ask(t, h, Query{}); len(a.Summary) > 300 || !strings.HasSuffix(a.Summary, "é…") {
		t.Errorf("%q", a.Summary)
	}
}

func TestOlderAPI(t *testing.T) {
	for _, status := range []int{404, 410, 500, 503} {
		h := newHost(t)
		h.fail("/repository/all/simple/ductor/", status, "ETag", `"x"`)
		h.put("/repository/all/pypi/ductor/json", "application/json", `{"info":{"summary":"a bot","version":"1.2"},"releases":{
			"1.0":[{"filename":"ductor-1.0.tar.gz","requires_python":null,"yanked":false}],
			"1.1":[{"filename":"ductor-1.1.tar.gz","requires_python":">=3.8","yanked":false,"yanked_reason":null}],
			"1.2":[{"filename":"ductor-1.2.tar.gz","yanked":true,"yanked_reason":"oops"}],"1.3":[]}}`)
		a, err := newClient(t).Ask(t.Context(), configOf(h.URL+"/repository/all/simple"), withDefaults(Query{Python: "3.11"}))
		if err != nil || a.Latest != "1.1" || a.Summary != "a bot" || !reflect.DeepEqual(a.Skipped, []Skipped{{"1.2", "yanked: oops"}}) || a.Validator != "" {
			t.Errorf("%d: %+v, %v", status, a, err)
		}
		if a.Source != h.URL+"/repository/all/pypi/ductor/json" || len(h.asked) != 2 {
			t.Errorf("%d: %q, asked %q", status, a.Source, h.asked)
		}
	}
}

func TestETag(t *testing.T) {
	h := newHost(t)
	h.set(page, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `W/"a b"`)
		if r.Header.Get("If-None-Match") == `W/"a b"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Type", htmlType)
		fmt.Fprint(w, `<a href="ductor-1.0.tar.gz">`)
	})
	first := ask(t, h, Query{Installed: "0.9", Python: "3.11"})
	if first.Latest != "1.0" || first.Validator == "" {
		t.Fatalf("%+v", first)
	}
	h.asked = nil
	again := ask(t, h, Query{Installed: "0.9", Python: "3.11", Validator: first.Validator})
	if want := (Answer{NotModified: true, Source: first.Source, Validator: first.Validator}); !reflect.DeepEqual(again, want) || len(h.asked) != 1 {
		t.Errorf("%+v, asked %q", again, h.asked)
	}
	for _, other := range []Query{{Installed: "1.0", Python: "3.11"}, {Installed: "0.9", Python: "3.12"}, {Installed: "0.9", Python: "3.11", Pre: true}} {
		other.Validator = first.Validator
		if a := ask(t, h, other); a.NotModified || a.Latest != "1.0" {
			t.Errorf("another question gets no 304: %+v", a)
		}
	}
	for _, garbage := range []string{"x", " ", first.Validator[:17] + "\x00\n", first.Validator[:17] + strings.Repeat("x", 300)} {
		if a := ask(t, h, Query{Installed: "0.9", Python: "3.11", Validator: garbage}); a.Latest != "1.0" {
			t.Errorf("%q: %+v", garbage, a)
		}
	}
}

// TestNotModifiedThatNobodyAskedFor is an error: there is nothing to be
// unchanged.
func TestNotModifiedThatNobodyAskedFor(t *testing.T) {
	h := newHost(t)
	h.fail(page, 304)
	wantError(t, newClient(t), h.config(), Query{}, exitcode.Unavailable, "304")
}

func TestQueriesThatAreMalformed(t *testing.T) {
	h := newHost(t)
	wantError(t, newClient(t), h.config(), Query{Installed: "\x1b[31mdev"}, exitcode.DataErr, "installed")
	wantError(t, newClient(t), h.config(), Query{Python: "3.11.7.final.0"}, exitcode.DataErr, "interpreter", "3.11.7.final.0")
	if len(h.asked) > 0 {
		t.Errorf("asked %q", h.asked)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		status int
		header []string
		want   time.Duration // -1 for none
	}{
		{429, []string{"Retry-After", "120"}, 2 * time.Minute},
		{503, []string{"Retry-After", "Fri, 27 Nov 2026 13:00:00 GMT"}, time.Hour},
		{503, []string{"Retry-After", "Fri, 27 Nov 2020 13:00:00 GMT"}, 0},
		{429, []string{"Retry-After", "99999999999999"}, 24 * time.Hour},
		{429, []string{"Retry-After", "18446744073709551616"}, -1},
		{429, []string{"Retry-After", "-5"}, -1},
		{429, []string{"Retry-After", "soon"}, -1},
		{403, []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", fmt.Sprint(now.Add(10 * time.Minute).Unix())}, 10 * time.Minute},
		{403, []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "x"}, -1},
		{403, []string{"X-RateLimit-Remaining", "5", "X-RateLimit-Reset", "1"}, -1},
		{500, nil, -1},
	} {
		h := newHost(t)
		h.fail(page, c.status, c.header...)
		client := newClient(t)
		client.Now = func() time.Time { return now }
		err := wantError(t, client, h.config(), Query{}, exitcode.Unavailable, fmt.Sprint(c.status))
		at, has := RetryAt(err)
		if has != (c.want >= 0) || has && !at.Equal(now.Add(c.want)) {
			t.Errorf("%v: come back at %s, %v", c.header, at, has)
		}
		if has && !strings.Contains(err.Error(), at.UTC().Format(time.RFC3339)) {
			t.Errorf("%v does not tell %s", err, at)
		}
	}
}
