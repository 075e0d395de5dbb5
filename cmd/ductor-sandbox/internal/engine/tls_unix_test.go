//go:build unix

package engine

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ductor/internal/common/clitest"
	"ductor/internal/common/exitcode"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(tb testing.TB) *authority {
	tb.Helper()
	a := &authority{}
	cert, key := a.sign(tb, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		tb.Fatal(err)
	}
	a.cert, a.key, a.pem = pair.Leaf, pair.PrivateKey.(*ecdsa.PrivateKey), cert
	return a
}

// sign returns certificate and key as PEM; the first one signs itself.
func (a *authority) sign(tb testing.TB, template *x509.Certificate) (cert, key string) {
	tb.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template.SerialNumber, template.Subject = big.NewInt(1), pkix.Name{CommonName: "test"}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, private
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, signer)
	if err != nil {
		tb.Fatal(err)
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		tb.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes}))
}

// client writes the three files that Docker reads.
func (a *authority) client(tb testing.TB, dir string) {
	cert, key := a.sign(tb, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	put(tb, a.pem, dir, "ca.pem")
	put(tb, cert, dir, "cert.pem")
	put(tb, key, dir, "key.pem")
}

// serveTLS is a daemon that wants a certificate of the same authority, and
// returns HOST:PORT.
func (a *authority) serveTLS(tb testing.TB) string {
	tb.Helper()
	cert, key := a.sign(tb, &x509.Certificate{DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		tb.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool})
	if err != nil {
		tb.Fatal(err)
	}
	server := &http.Server{Handler: daemon(nil), ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	tb.Cleanup(func() { server.Close(); <-done })
	return l.Addr().String()
}

func TestTLS(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	addr := ours.serveTLS(t)
	good, wrong, noPair, dir := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	ours.client(t, good)
	ours.client(t, wrong)
	put(t, theirs.pem, wrong, "ca.pem") // a good pair, for a server that it does not trust
	put(t, ours.pem, noPair, "ca.pem")
	putContext(t, dir, "nas", "tcp://"+addr)
	ours.client(t, filepath.Join(dir, "contexts", "tls", contextID("nas"), "docker"))

	for name, tt := range map[string]struct {
		vars map[string]string
		part string // of the error
	}{
		"verified":             {map[string]string{"DOCKER_HOST": "tcp://" + addr, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": good}, ""},
		"files in .docker":     {map[string]string{"DOCKER_HOST": "tcp://" + addr, "DOCKER_TLS_VERIFY": "1", "DOCKER_CONFIG": good}, ""},
		"context":              {map[string]string{"DOCKER_CONTEXT": "nas", "DOCKER_CONFIG": dir}, ""},
		"not trusted":          {map[string]string{"DOCKER_HOST": "tcp://" + addr, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": wrong}, "certificate"},
		"not verified":         {map[string]string{"DOCKER_HOST": "tcp://" + addr, "DOCKER_TLS": "1", "DOCKER_CERT_PATH": wrong}, ""},
		"no certificate of us": {map[string]string{"DOCKER_HOST": "tcp://" + addr, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": noPair}, "certificate"},
		"no TLS":               {map[string]string{"DOCKER_HOST": "tcp://" + addr, "DOCKER_CERT_PATH": good}, "HTTPS server"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := Find(t.Context(), Options{Getenv: env(tt.vars), Timeout: long})
			if tt.part != "" {
				wantErr(t, err, exitcode.Unavailable, unreachable, tt.part)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			if _, err := e.Info(t.Context()); err != nil || e.Host != "tcp://"+addr {
				t.Errorf("%+v: %v", e, err)
			}
		})
	}
}

func TestBadCertificates(t *testing.T) {
	a := newAuthority(t)
	for name, tt := range map[string]struct {
		spoil func(dir string)
		code  int
		part  string
	}{
		"no ca.pem":   {func(dir string) { os.Remove(filepath.Join(dir, "ca.pem")) }, exitcode.DataErr, "ca.pem"},
		"empty ca":    {func(dir string) { put(t, "", dir, "ca.pem") }, exitcode.DataErr, "no certificate in it"},
		"torn pair":   {func(dir string) { put(t, "-----BEGIN", dir, "cert.pem") }, exitcode.DataErr, "read the certificate in"},
		"foreign key": {func(dir string) { _, key := a.sign(t, &x509.Certificate{}); put(t, key, dir, "key.pem") }, exitcode.DataErr, "read the certificate in"},
		"huge":        {func(dir string) { put(t, strings.Repeat("x", maxConfig+1), dir, "ca.pem") }, exitcode.DataErr, "not a small file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			a.client(t, dir)
			tt.spoil(dir)
			_, err := Find(t.Context(), Options{Host: "tcp://127.0.0.1:1", Getenv: env(map[string]string{"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": dir})})
			wantErr(t, err, tt.code, "", tt.part)
			if !strings.Contains(err.Error(), dir) {
				t.Errorf("%v does not name the folder", err)
			}
		})
	}
	_, err := Find(t.Context(), Options{Host: "tcp://127.0.0.1:1", Getenv: env(map[string]string{"DOCKER_TLS_VERIFY": "1"})})
	wantErr(t, err, exitcode.Usage, "", "home folder is unknown")
}

// TestContextsOfTheDockerCommand: it writes, we read.
func TestContextsOfTheDockerCommand(t *testing.T) {
	clitest.Need(t, "docker")
	a, dir, home := newAuthority(t), t.TempDir(), shortDir(t)
	a.client(t, dir)
	addr := a.serveTLS(t)
	serve(t, filepath.Join(home, "s"), daemon(nil))
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command("docker", append([]string{"context"}, args...)...)
		cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("docker context %q: %v\n%s", args, err, out)
		}
	}
	find := func(vars map[string]string, source, host string) {
		t.Helper()
		e, err := Find(t.Context(), Options{HomeDir: home, Getenv: env(vars), Timeout: long})
		if err != nil {
			t.Fatal(err)
		}
		e.Close()
		if e.Source != source || e.Host != host {
			t.Errorf("%q from %q, want %q from %q", e.Host, e.Source, host, source)
		}
	}
	run("create", "near", "--docker", "host=unix://"+home+"/s")
	run("create", "far", "--docker", "host=tcp://"+addr+",ca="+dir+"/ca.pem,cert="+dir+"/cert.pem,key="+dir+"/key.pem")
	run("create", "blind", "--docker", "host=tcp://"+addr+",skip-tls-verify=true,cert="+dir+"/cert.pem,key="+dir+"/key.pem")
	run("use", "near")
	find(nil, "context near", "unix://"+home+"/s")
	find(map[string]string{"DOCKER_CONTEXT": "far"}, "context far", "tcp://"+addr)
	find(map[string]string{"DOCKER_CONTEXT": "blind"}, "context blind", "tcp://"+addr)
	run("use", "default")
	if name, _, err := (Options{HomeDir: home}).complete().currentContext(); name != "" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
}
