// Package pyindex is a package index for tests, with wheels made by hand.
package pyindex

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Release is a version of a package on the index.
type Release struct {
	Pkg     string // "" is ductor
	Version string
	Init    string   // of the module, after __version__
	Main    string   // what it does if not asked for its version
	Deaf    bool     // it does that whatever it is asked
	Deps    []string // Requires-Dist
	Python  string   // Requires-Python
	Yanked  bool
	Torn    bool // the wheel has only half of its bytes
	Bulk    int  // bytes of data that cannot be packed
	Hidden  int  // from pip, for so many of its questions
}

func (r Release) name() string {
	if r.Pkg == "" {
		return "ductor"
	}
	return r.Pkg
}

func (r Release) file() string { return r.name() + "-" + r.Version + "-py3-none-any.whl" }

// wheel is made by hand, as the specification of wheels has it.
func (r Release) wheel() []byte {
	info, module := r.name()+"-"+r.Version+".dist-info/", r.module()
	deaf := "True"
	if r.Deaf {
		deaf = "False"
	}
	meta := "Metadata-Version: 2.1\nName: " + r.name() + "\nVersion: " + r.Version + "\n"
	for _, d := range r.Deps {
		meta += "Requires-Dist: " + d + "\n"
	}
	if r.Python != "" {
		meta += "Requires-Python: " + r.Python + "\n"
	}
	files := [][2]string{
		{module + "/__init__.py", "__version__ = '" + r.Version + "'\n" + r.Init + "\n"},
		{module + "/__main__.py", "import sys\nfrom " + module + " import __version__\ndef main():\n    if '--version' in sys.argv and " + deaf + ":\n        print('" + r.name() + "', __version__)\n        return\n    " +
			strings.ReplaceAll(r.Main, "\n", "\n    ") + "\nif __name__ == '__main__':\n    main()\n"},
		{info + "METADATA", meta},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{info + "entry_points.txt", "[console_scripts]\n" + r.name() + "=" + module + ".__main__:main\n"},
	}
	if r.Bulk > 0 {
		data := make([]byte, r.Bulk)
		rand.New(rand.NewSource(1)).Read(data)
		files = append(files, [2]string{module + "/bulk.bin", string(data)})
	}
	record := ""
	for _, f := range files {
		sum := sha256.Sum256([]byte(f[1]))
		record += fmt.Sprintf("%s,sha256=%s,%d\n", f[0], base64.RawURLEncoding.EncodeToString(sum[:]), len(f[1]))
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range append(files, [2]string{info + "RECORD", record + info + "RECORD,,\n"}) {
		w, err := z.Create(f[0])
		if err == nil {
			_, err = w.Write([]byte(f[1]))
		}
		if err != nil {
			panic(err)
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	if r.Torn {
		return b.Bytes()[:b.Len()/2]
	}
	return b.Bytes()
}

func (r Release) module() string {
	if r.name() == "ductor" {
		return "ductor_bot"
	}
	return strings.ReplaceAll(r.name(), "-", "_")
}

// Index is one; the zero value has nothing.
type Index struct {
	mu       sync.Mutex
	releases []Release
	onFile   func()
}

// Publish adds releases. One that is there already is replaced.
func (x *Index) Publish(releases ...Release) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range releases {
		x.releases = append(slices.DeleteFunc(x.releases, func(o Release) bool { return o.file() == r.file() }), r)
	}
}

// Withdraw takes a version of ductor away.
func (x *Index) Withdraw(version string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.releases = slices.DeleteFunc(x.releases, func(r Release) bool { return r.name() == "ductor" && r.Version == version })
}

// OnFile is called whenever a wheel is fetched.
func (x *Index) OnFile(f func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.onFile = f
}

// ServeHTTP is the index.
func (x *Index) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if name, ok := strings.CutPrefix(r.URL.Path, "/files/"); ok {
		for _, rel := range x.releases {
			if rel.file() == name {
				if f := x.onFile; f != nil {
					x.mu.Unlock()
					f()
					x.mu.Lock()
				}
				_, _ = out.Write(rel.wheel())
				return
			}
		}
	}
	name, ok := strings.CutPrefix(strings.TrimSuffix(r.URL.Path, "/"), "/simple/")
	if !ok || !slices.ContainsFunc(x.releases, func(r Release) bool { return r.name() == name }) {
		http.NotFound(out, r)
		return
	}
	type file struct {
		Name   string            `json:"filename"`
		URL    string            `json:"url"`
		Hashes map[string]string `json:"hashes"`
		Python string            `json:"requires-python,omitempty"`
		Yanked bool              `json:"yanked"`
	}
	page := map[string]any{"meta": map[string]string{"api-version": "1.0"}, "name": name}
	files := []file{}
	for i := range x.releases {
		rel := &x.releases[i]
		if rel.name() != name {
			continue
		}
		if strings.HasPrefix(r.UserAgent(), "pip/") && rel.Hidden > 0 {
			rel.Hidden--
			continue
		}
		files = append(files, file{rel.file(), "/files/" + rel.file(), map[string]string{}, rel.Python, rel.Yanked})
	}
	page["files"] = files
	out.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
	_ = json.NewEncoder(out).Encode(page)
}
