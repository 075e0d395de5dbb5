package index

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"ductor/internal/common/exitcode"
)

const jsonType, htmlType = "application/vnd.pypi.simple.v1+json", "text/html"

// host is a server that answers what a test puts into it, by path, and
// remembers what it was asked.
type host struct {
	*httptest.Server
	mu     sync.Mutex
	pages  map[string]http.HandlerFunc
	asked  []string
	header []http.Header
}

func newHost(t *testing.T) *host {
	h := &host{pages: map[string]http.HandlerFunc{}}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.asked, h.header = append(h.asked, r.URL.Path), append(h.header, r.Header.Clone())
	page := h.pages[r.URL.Path]
	h.mu.Unlock()
	if page == nil {
		http.NotFound(w, r)
		return
	}
	page(w, r)
}

// set holds the lock for a client in another process, whose requests come from
// nowhere for the race detector.
func (h *host) set(path string, page http.HandlerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pages[path] = page
}

func (h *host) put(path, mediaType, body string) {
	h.set(path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		fmt.Fprint(w, body)
	})
}

func (h *host) fail(path string, status int, header ...string) {
	h.set(path, func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
	})
}

// files is a page of the Simple API with these files; each is a name, or a
// name with attributes behind it: "x-1.0.tar.gz yanked=why requires-python=>=3".
func (h *host) files(path string, files ...string) {
	var list []map[string]any
	for _, f := range files {
		name, rest, _ := strings.Cut(f, " ")
		entry := map[string]any{"filename": name, "url": "../../f/" + name, "hashes": map[string]string{}}
		for kv := range strings.FieldsSeq(rest) {
			k, v, _ := strings.Cut(kv, "=")
			entry[k] = v
		}
		list = append(list, entry)
	}
	body, err := json.Marshal(map[string]any{"meta": map[string]string{"api-version": "1.1"}, "files": list})
	if err != nil {
		panic(err)
	}
	h.put(path, jsonType, string(body))
}

func (h *host) config() Config { return configOf(h.URL + "/simple/") }

func configOf(urls ...string) (c Config) {
	for _, u := range urls {
		if err := c.add(u, "test"); err != nil {
			panic(err)
		}
	}
	return c
}

func newClient(t *testing.T) *Client {
	c := New()
	t.Cleanup(c.Close)
	return c
}

func ask(t *testing.T, h *host, q Query) Answer {
	t.Helper()
	a, err := newClient(t).Ask(t.Context(), h.config(), withDefaults(q))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func withDefaults(q Query) Query {
	if q.Package == "" {
		q.Package = "ductor"
	}
	if q.GOOS == "" {
		q.GOOS = "linux"
	}
	return q
}

// wantError asks and demands an error of this code that has these words and no
// raw escape.
func wantError(t *testing.T, c *Client, cfg Config, q Query, code int, words ...string) error {
	t.Helper()
	start := time.Now()
	a, err := c.Ask(t.Context(), cfg, withDefaults(q))
	checkError(t, err, code, words...)
	if a.Latest != "" || a.Newer || a.Validator != "" {
		t.Errorf("an answer besides the error: %+v", a)
	}
	if took := time.Since(start); took > c.Timeout+5*time.Second {
		t.Errorf("it took %s", took)
	}
	return err
}

func checkError(t *testing.T, err error, code int, words ...string) {
	t.Helper()
	if err == nil || exitcode.Of(err) != code {
		t.Fatalf("error %v has code %d, want %d", err, exitcode.Of(err), code)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not hold %q", err, w)
		}
	}
	if strings.ContainsAny(err.Error(), "\x1b\n\r\x00") || len(err.Error()) > 1000 {
		t.Errorf("error %q is not fit to print", err)
	}
	if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "someone") {
		t.Errorf("error %q tells credentials", err)
	}
}
