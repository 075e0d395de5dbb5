package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ductor/internal/common/atomicfile"
	"ductor/internal/common/exitcode"
)

// defaultContext is the docker command's word for "no context".
const defaultContext = "default"

// maxConfig bounds what is read of Docker's files, in bytes. Logins make
// config.json grow, but not to this.
const maxConfig = 4 << 20

// configDir is the docker command's folder, "" when nobody knows it.
func (o Options) configDir() string {
	if dir := o.Getenv("DOCKER_CONFIG"); dir != "" {
		return dir
	}
	if o.HomeDir == "" {
		return ""
	}
	return filepath.Join(o.HomeDir, ".docker")
}

// currentContext returns what config.json names, "" for nothing, and its path.
// An absent or empty file names nothing.
func (o Options) currentContext() (name, file string, err error) {
	dir := o.configDir()
	if dir == "" {
		return "", "", nil
	}
	file = filepath.Join(dir, "config.json")
	var config struct {
		CurrentContext string `json:"currentContext"`
	}
	err = readJSON(file, &config)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errEmpty) {
		return "", file, nil
	}
	return config.CurrentContext, file, err
}

// storedContext reads a context as the docker command stores it, in folders
// that are named by the SHA-256 of its name. An absent one is fs.ErrNotExist.
func (o Options) storedContext(name string) (target, error) {
	dir := o.configDir()
	if dir == "" {
		return target{}, exitcode.Errorf(exitcode.Usage, "find context %q: the home folder is unknown", name).WithHint("set DOCKER_CONFIG")
	}
	sum := sha256.Sum256([]byte(name))
	id := hex.EncodeToString(sum[:])
	file := filepath.Join(dir, "contexts", "meta", id, "meta.json")
	var meta struct {
		Endpoints struct {
			Docker struct {
				Host          string
				SkipTLSVerify bool
			} `json:"docker"`
		}
	}
	if err := readJSON(file, &meta); err != nil {
		return target{}, err
	}
	docker := meta.Endpoints.Docker
	files := contextTLS(filepath.Join(dir, "contexts", "tls", id, "docker"), docker.SkipTLSVerify)
	host, err := parseHost(docker.Host, files != nil, o.GOOS)
	if err != nil {
		return target{}, inFile(file, prefixed(fmt.Sprintf("context %q", name), err))
	}
	return target{host, "context " + printable(name), files.unlessSocket(host)}, nil
}

// inFile turns a wrong word into a wrong file. Other codes stay.
func inFile(file string, err error) error {
	wrapped := &exitcode.Error{Code: exitcode.Of(err), Err: fmt.Errorf("read %q: %w", file, err)}
	if wrapped.Code == exitcode.Usage {
		wrapped.Code = exitcode.DataErr
	}
	var coded *exitcode.Error
	if errors.As(err, &coded) {
		wrapped.ID, wrapped.Hint = coded.ID, coded.Hint
	}
	return wrapped
}

var errEmpty = errors.New("empty file")

// readJSON fills v from a small file. Errors name the file: 65, 77 when it may
// not be read, fs.ErrNotExist when it is absent.
func readJSON(file string, v any) error {
	data, err := readSmall(file)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return exitcode.Errorf(exitcode.DataErr, "read %q: %w", file, errEmpty)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return exitcode.Errorf(exitcode.DataErr, "read %q: %w", file, safe(err)).WithHint("repair or remove %q", file)
	}
	return nil
}

func readSmall(file string) ([]byte, error) {
	data, err := atomicfile.Read(file, maxConfig)
	var path *os.PathError
	if errors.As(err, &path) {
		err = fmt.Errorf("%s %q: %w", path.Op, file, path.Err)
	}
	if err != nil {
		return nil, exitcode.File(exitcode.DataErr, err)
	}
	return data, nil
}
