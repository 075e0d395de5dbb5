package engine

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ductor/internal/common/exitcode"
)

// tlsFiles is where certificates lie: ca.pem, cert.pem, key.pem in one folder.
type tlsFiles struct {
	dir        string
	needCA     bool // a missing ca.pem is an error; else the system's authorities count
	skipVerify bool
}

// envTLS reads the variables as the docker command means them: DOCKER_CERT_PATH
// alone turns nothing on, and any value of the others does, "0" too.
func (o Options) envTLS() *tlsFiles {
	verify := o.Getenv("DOCKER_TLS_VERIFY") != ""
	if !verify && o.Getenv("DOCKER_TLS") == "" {
		return nil
	}
	dir := o.Getenv("DOCKER_CERT_PATH")
	if dir == "" {
		dir = o.configDir()
	}
	return &tlsFiles{dir: dir, needCA: true, skipVerify: !verify}
}

// contextTLS returns nil for a context that has no TLS of its own.
func contextTLS(dir string, skipVerify bool) *tlsFiles {
	if _, err := os.Stat(dir); err != nil && !skipVerify {
		return nil
	}
	return &tlsFiles{dir: dir, skipVerify: skipVerify}
}

// unlessSocket drops TLS where the docker command has none: sockets and pipes.
func (f *tlsFiles) unlessSocket(host string) *tlsFiles {
	if !strings.HasPrefix(host, "tcp:") {
		return nil
	}
	return f
}

func (f *tlsFiles) config() (*tls.Config, error) {
	if f.dir == "" {
		return nil, exitcode.Errorf(exitcode.Usage, "find TLS certificates: the home folder is unknown").WithHint("set DOCKER_CERT_PATH")
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: f.skipVerify}
	if err := f.addCA(config); err != nil {
		return nil, err
	}
	return config, f.addPair(config)
}

// addCA makes the file's authorities the only ones that count.
func (f *tlsFiles) addCA(config *tls.Config) error {
	file := filepath.Join(f.dir, "ca.pem")
	data, err := readSmall(file)
	if errors.Is(err, fs.ErrNotExist) && !f.needCA {
		return nil
	}
	if err != nil {
		return err
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(data) {
		return exitcode.Errorf(exitcode.DataErr, "read %q: no certificate in it", file)
	}
	return nil
}

// addPair adds the client's certificate, if both of its files are there.
func (f *tlsFiles) addPair(config *tls.Config) error {
	cert, err := readSmall(filepath.Join(f.dir, "cert.pem"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	key, err := readSmall(filepath.Join(f.dir, "key.pem"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return exitcode.Errorf(exitcode.DataErr, "read the certificate in %q: %w", f.dir, safe(err))
	}
	config.Certificates = []tls.Certificate{pair}
	return nil
}
