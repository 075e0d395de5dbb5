package image

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/docker/docker/client"

	"ductor/internal/common/exitcode"
)

// daemon answers every build with a text, and has no image.
func daemon(t *testing.T, status int, text string) *client.Client {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
		if strings.HasSuffix(text, "{") {
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(srv.Close)
	c, err := client.NewClientWithOpts(client.WithHost("tcp://"+srv.Listener.Addr().String()), client.WithVersion("1.41"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestStreams: what engines say and a real one does not say on demand. A code
// of 0 is an error without one, that of a connection.
func TestStreams(t *testing.T) {
	for _, c := range []struct {
		name, text string
		status     int
		code       int
		why        string
	}{
		{"an error in a stream", `{"stream":"one\ntwo"}{"errorDetail":{"message":"no\u001b[1m space"},"error":"no space"}{"aux":{"ID":"sha256:x"}}`, 200, 69, `build image "x": no space` + "\n  one\n  two"},
		{"an error of old", `{"error":"bad"}`, 200, 69, `build image "x": bad`},
		{"nothing", ``, 200, 69, `the daemon ended without a result`},
		{"no result", `{"stream":"Step 1/2"}`, 200, 69, "the daemon ended without a result\n  Step 1/2"},
		{"torn", `{"stream":"one"}{`, 200, 0, `read progress`},
		{"garbage", `<html>`, 200, 0, `read progress`},
		{"other types", `{"stream":1}`, 200, 0, `read progress`},
		{"refused", `{"message":"dockerfile parse error"}`, 400, 69, `dockerfile parse error`},
		{"broken", `{"message":"oh"}`, 500, 69, `oh`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Build(t.Context(), daemon(t, c.status, c.text), Request{Ref: "x"})
			var coded *exitcode.Error
			if errors.As(err, &coded) != (c.code != 0) || coded != nil && (coded.Code != c.code || coded.ID != BuildFailed) || err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("got %#v: %v", coded, err)
			}
		})
	}
}

func TestLines(t *testing.T) {
	var got bytes.Buffer
	l := &log{progress: &got}
	stream := `{"status":"Pulling from library/x","id":"1"}{"status":"Downloading","id":"a","progress":"[>  ]"}{"status":"Downloading","id":"b"}{"status":"Downloading","id":"a","progress":"[=> ]"}{"status":"Pull complete","id":"a"}` +
		`{"status":"Digest: sha256:x"}{"stream":"Step 1/2 : "}{"stream":"RUN x\n"}{"stream":"\n"}{"stream":"10%\r20%\r\n"}{"stream":"` + strings.Repeat("x", 2*maxLine) + `\n"}{"aux":{"ID":"sha256:i"}}{"stream":"no end"}`
	id, err := follow(strings.NewReader(stream), l)
	want := "1: Pulling from library/x\na: Downloading\nb: Downloading\na: Pull complete\nDigest: sha256:x\nStep 1/2 : RUN x\n10%\n20%\n" + strings.Repeat("x", maxLine) + "\nno end\n"
	if id != "sha256:i" || err != nil || got.String() != want {
		t.Errorf("%q, %v:\n%s", id, err, &got)
	}
}

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"plain é 漢":                           "plain é 漢",
		"\x1b[1;31mred\x1b[0m\x1b[K":          "red",
		"\x1b]0;title\x07x\x1b]8;;u\x1b\\y":   "xy",
		"\x1b7\x1b(Bz":                        "z",
		"\x1b":                                "?",
		"a\tb\x00c\x7fd\u009be\u202ef\u2028g": "a b?c?d?e?f?g",
		"bad \xff":                            "bad ?",
	} {
		if got := plain(in); got != want {
			t.Errorf("plain(%q) = %q, not %q", in, got, want)
		}
	}
}
