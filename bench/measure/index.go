//go:build linux

package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
)

// releases is how many versions of the bot the index has; the newest is
// installed.
const releases = 30

// serveIndex is an index with the bot, until stop. It has what PyPI has and
// ductor-update and pip ask for: the page of PEP 691, the wheels, and the older
// API for the summary. There is no ETag, so that each answer comes whole.
//
// It has an empty package wheel too: each pipx upgrade of pipx 1.1 wants the
// newest pip, setuptools and wheel, has the first two, and would fail for want
// of the third.
func serveIndex() (url string, stop func(), err error) {
	pages := http.NewServeMux()
	if err := publish(pages, "ductor", releases); err != nil {
		return "", nil, err
	}
	if err := publish(pages, "wheel", 1); err != nil {
		return "", nil, err
	}
	project := fmt.Sprintf(`{"info":{"name":"ductor","version":"1.%d.0","summary":"A bot"},"releases":{}}`, releases-1)
	pages.HandleFunc("/pypi/ductor/json", answer("application/json", []byte(project)))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: pages}
	go func() { _ = server.Serve(l) }()
	return "http://" + l.Addr().String() + "/simple/", func() { _ = server.Close() }, nil
}

// publish puts versions 1.0.0, 1.1.0 … of a package on the index.
func publish(pages *http.ServeMux, name string, versions int) error {
	page := simplePage{Name: name}
	page.Meta.Version = "1.0"
	for n := range versions {
		version := fmt.Sprintf("1.%d.0", n)
		data, err := wheel(name, version)
		if err != nil {
			return fmt.Errorf("make wheel of %s %s: %w", name, version, err)
		}
		sum, file := sha256.Sum256(data), name+"-"+version+"-py3-none-any.whl"
		page.Files = append(page.Files, indexFile{file, "/files/" + file, map[string]string{"sha256": hex.EncodeToString(sum[:])}, ">=3.8"})
		pages.HandleFunc("/files/"+file, answer("application/octet-stream", data))
	}
	text, err := json.Marshal(page)
	if err != nil {
		return err
	}
	pages.HandleFunc("/simple/"+name+"/", answer("application/vnd.pypi.simple.v1+json", text))
	return nil
}

// simplePage is a page of PEP 691.
type simplePage struct {
	Meta struct {
		Version string `json:"api-version"`
	} `json:"meta"`
	Name  string      `json:"name"`
	Files []indexFile `json:"files"`
}

type indexFile struct {
	Name   string            `json:"filename"`
	URL    string            `json:"url"`
	Hashes map[string]string `json:"hashes"`
	Python string            `json:"requires-python"`
}

func answer(mediaType string, data []byte) http.HandlerFunc {
	return func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Content-Type", mediaType)
		_, _ = out.Write(data)
	}
}

// wheel is a version of a package with one command, as the specification of
// wheels has it.
func wheel(name, version string) ([]byte, error) {
	info, module := name+"-"+version+".dist-info/", name+"_bot"
	files := [][2]string{
		{module + "/__init__.py", "def main():\n    pass\n"},
		{info + "METADATA", "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\nRequires-Python: >=3.8\n"},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{info + "entry_points.txt", "[console_scripts]\n" + name + "=" + module + ":main\n"},
	}
	record := ""
	for _, f := range files {
		sum := sha256.Sum256([]byte(f[1]))
		record += fmt.Sprintf("%s,sha256=%s,%d\n", f[0], base64.RawURLEncoding.EncodeToString(sum[:]), len(f[1]))
	}
	files = append(files, [2]string{info + "RECORD", record + info + "RECORD,,\n"})
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		w, err := z.Create(f[0])
		if err != nil {
			return nil, err
		}
		if _, err := w.Write([]byte(f[1])); err != nil {
			return nil, err
		}
	}
	err := z.Close()
	return b.Bytes(), err
}
