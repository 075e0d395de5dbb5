package index

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"ductor/internal/common/exitcode"
)

// found is a Config in words: URLs with credentials, and whose they are.
type found struct {
	urls []string
	pre  bool
}

func urlsOf(c Config) (f found) {
	for _, i := range c.Indexes {
		f.urls = append(f.urls, i.url.String())
	}
	f.pre = c.Pre
	return f
}

// tree writes files below a new folder, which "~" stands for in texts.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func discover(t *testing.T, s Settings, files, env map[string]string) (Config, error) {
	t.Helper()
	root := tree(t, files)
	if s.Prefix == "" {
		s.Prefix = filepath.Join(root, "venv")
	}
	s.Home, s.etc = filepath.Join(root, "home"), filepath.Join(root, "etc")
	s.Getenv = func(k string) string {
		return strings.ReplaceAll(env[k], "~", root)
	}
	return Discover(s)
}

const pipConf = "[global]\nindex-url = https://%/simple\n"

func conf(host string) string { return strings.ReplaceAll(pipConf, "%", host) }

func TestDiscoverPip(t *testing.T) {
	user := map[string]string{"home/.config/pip/pip.conf": conf("user")}
	all := map[string]string{"etc/pip.conf": conf("global"), "etc/xdg/pip/pip.conf": conf("xdg"), "home/.pip/pip.conf": conf("legacy"), "home/.config/pip/pip.conf": conf("user"), "venv/pip.conf": conf("site"), "own": conf("own")}
	for _, c := range []struct {
		name  string
		s     Settings
		files map[string]string
		env   map[string]string
		want  string // URLs, and "pre"
	}{
		{"nothing", Settings{}, nil, nil, Default},
		{"our own flag", Settings{Index: "http://x/"}, all, map[string]string{"PIP_INDEX_URL": "http://y/"}, "http://x/"},
		{"global", Settings{}, map[string]string{"etc/pip.conf": conf("global"), "etc/xdg/pip/pip.conf": conf("xdg")}, nil, "https://global/simple"},
		{"legacy over global", Settings{}, map[string]string{"etc/pip.conf": conf("global"), "etc/xdg/pip/pip.conf": conf("xdg"), "home/.pip/pip.conf": conf("legacy")}, nil, "https://legacy/simple"},
		{"user over legacy", Settings{}, map[string]string{"home/.pip/pip.conf": conf("legacy"), "home/.config/pip/pip.conf": conf("user")}, nil, "https://user/simple"},
		{"site over user", Settings{Kind: Pipx}, map[string]string{"home/.config/pip/pip.conf": conf("user"), "venv/pip.conf": conf("site")}, nil, "https://site/simple"},
		{"PIP_CONFIG_FILE over site", Settings{}, all, map[string]string{"PIP_CONFIG_FILE": "~/own"}, "https://own/simple"},
		{"PIP_CONFIG_FILE hides the user's", Settings{}, map[string]string{"home/.config/pip/pip.conf": conf("user"), "own": ""}, map[string]string{"PIP_CONFIG_FILE": "~/own"}, Default},
		{"one that is missing does not", Settings{}, user, map[string]string{"PIP_CONFIG_FILE": "~/missing"}, "https://user/simple"},
		{"the null device hides all", Settings{}, all, map[string]string{"PIP_CONFIG_FILE": os.DevNull}, Default},
		{"the environment over files", Settings{}, all, map[string]string{"PIP_INDEX_URL": "http://env/simple"}, "http://env/simple"},
		{"an empty variable hides nothing", Settings{}, user, map[string]string{"PIP_INDEX_URL": ""}, "https://user/simple"},
		{"arguments over the environment", Settings{Args: []string{"--index-url=http://args/"}}, all, map[string]string{"PIP_INDEX_URL": "http://env/simple"}, "http://args/"},
		{"arguments in two words", Settings{Args: []string{"--no-deps", "-i", "http://args/", "--extra-index-url", "http://b/", "--extra-index-url=http://c/", "--pre"}}, nil, nil, "http://args/ http://b/ http://c/ pre"},
		{"arguments in one word", Settings{Args: []string{"-ihttp://args/"}}, nil, nil, "http://args/"},
		{"an argument that breaks off", Settings{Args: []string{"--index-url"}}, nil, nil, Default},
		{"XDG_CONFIG_HOME", Settings{}, map[string]string{"xdg/pip/pip.conf": conf("xdg"), "home/.config/pip/pip.conf": conf("user")}, map[string]string{"XDG_CONFIG_HOME": "~/xdg"}, "https://xdg/simple"},
		{"XDG_CONFIG_DIRS, the last one wins", Settings{}, map[string]string{"a/pip/pip.conf": conf("a"), "b/pip/pip.conf": conf("b")}, map[string]string{"XDG_CONFIG_DIRS": "~/a:~/b"}, "https://b/simple"},
		{"[install] over [global]", Settings{}, map[string]string{"home/.config/pip/pip.conf": "[install]\nindex_url: http://install/\n[global]\nindex-url=http://global/\n[download]\nindex-url=http://no/"}, nil, "http://install/"},
		{"[install] of a weaker file", Settings{}, map[string]string{"etc/xdg/pip/pip.conf": "[install]\nindex-url=http://install/", "venv/pip.conf": conf("site")}, nil, "http://install/"},
		{"extra indexes", Settings{}, map[string]string{"home/.config/pip/pip.conf": "[global]\nextra-index-url =\n  http://a/\n  # no\n  http://b/ http://a/\n"}, nil, Default + " http://a/ http://b/"},
		{"extra indexes of the environment", Settings{}, map[string]string{"home/.config/pip/pip.conf": "[global]\nextra-index-url = http://a/"}, map[string]string{"PIP_EXTRA_INDEX_URL": "http://b/  http://c/"}, Default + " http://b/ http://c/"},
		{"pre", Settings{}, nil, map[string]string{"PIP_PRE": "1"}, Default + " pre"},
		{"pre is off", Settings{}, map[string]string{"home/.config/pip/pip.conf": "[global]\npre = yes"}, map[string]string{"PIP_PRE": "off"}, Default},
		{"pre of a file", Settings{}, map[string]string{"home/.config/pip/pip.conf": "[global]\npre = yes"}, nil, Default + " pre"},
		{"credentials", Settings{}, nil, map[string]string{"PIP_INDEX_URL": "https://u:p%40@h/simple/#x"}, "https://u:p%40@h/simple/"},
		{"not uv's", Settings{}, map[string]string{"home/.config/uv/uv.toml": `index-url = "http://uv/"`}, map[string]string{"UV_INDEX_URL": "http://uv/"}, Default},
		{"Windows", Settings{GOOS: "windows"}, map[string]string{"pd/pip/pip.ini": conf("global"), "home/pip/pip.ini": conf("legacy"), "home/.config/pip/pip.conf": conf("no")}, map[string]string{"ProgramData": "~/pd", "APPDATA": "~/ad"}, "https://legacy/simple"},
		{"Windows, new", Settings{GOOS: "windows"}, map[string]string{"ad/pip/pip.ini": conf("user"), "home/pip/pip.ini": conf("legacy")}, map[string]string{"APPDATA": "~/ad"}, "https://user/simple"},
		{"Windows, null device", Settings{GOOS: "windows"}, map[string]string{"ad/pip/pip.ini": conf("user")}, map[string]string{"APPDATA": "~/ad", "PIP_CONFIG_FILE": "NUL"}, Default},
		{"macOS", Settings{GOOS: "darwin"}, map[string]string{"home/.pip/pip.conf": conf("legacy"), "home/.config/pip/pip.conf": conf("user"), "xdg/pip/pip.conf": conf("no")}, map[string]string{"XDG_CONFIG_HOME": "~/xdg"}, "https://user/simple"},
		{"macOS, Application Support", Settings{GOOS: "darwin"}, map[string]string{"home/Library/Application Support/pip/pip.conf": conf("support"), "home/.config/pip/pip.conf": conf("no")}, nil, "https://support/simple"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.s.GOOS == "" {
				c.s.GOOS = "linux"
			}
			got, err := discover(t, c.s, c.files, c.env)
			words := urlsOf(got).urls
			if got.Pre {
				words = append(words, "pre")
			}
			if text := strings.Join(words, " "); err != nil || text != c.want || got.FirstWins {
				t.Errorf("%s, %v, want %s", text, err, c.want)
			}
		})
	}
}

func TestDiscoverUV(t *testing.T) {
	toml := func(text string) map[string]string { return map[string]string{"home/.config/uv/uv.toml": text} }
	for _, c := range []struct {
		name  string
		goos  string
		files map[string]string
		env   map[string]string
		want  string // URLs, and "pre" and "best"
	}{
		{"nothing", "", nil, nil, Default},
		{"not pip's", "", map[string]string{"home/.config/pip/pip.conf": conf("user")}, map[string]string{"PIP_INDEX_URL": "http://pip/"}, Default},
		{"UV_DEFAULT_INDEX", "", nil, map[string]string{"UV_DEFAULT_INDEX": "http://a/", "UV_INDEX_URL": "http://b/"}, "http://a/"},
		{"UV_INDEX_URL", "", toml(`index-url = "http://file/"`), map[string]string{"UV_INDEX_URL": "http://b/"}, "http://b/"},
		{"UV_INDEX comes first", "", nil, map[string]string{"UV_INDEX": "http://a/ corp=http://b/?x=y", "UV_EXTRA_INDEX_URL": "http://c/", "UV_DEFAULT_INDEX": "main=http://d/"}, "http://a/ http://b/?x=y http://c/ http://d/"},
		{"credentials by name", "", nil, map[string]string{"UV_INDEX": "my-corp=http://b/", "UV_INDEX_MY_CORP_USERNAME": "u", "UV_INDEX_MY_CORP_PASSWORD": "p"}, "http://u:p@b/ " + Default},
		{"index-url", "", toml(`index-url = "http://a/"` + "\n" + `extra-index-url = ["http://b/"]`), nil, "http://b/ http://a/"},
		{"[[index]]", "", toml("[[index]]\nurl = \"http://a/\"\ndefault = true\n[[index]]\nname = \"b\"\nurl = \"http://b/\"\n[[index]]\nurl = \"http://c/\"\nexplicit = true\n[[index]]\nurl = \"/wheels\"\nformat = \"flat\"\n"), nil, "http://b/ http://a/"},
		{"environment before file before system", "", map[string]string{"home/.config/uv/uv.toml": "[[index]]\nurl = \"http://user/\"", "etc/uv/uv.toml": "index-url = \"http://system/\""}, map[string]string{"UV_INDEX": "http://env/"}, "http://env/ http://user/ http://system/"},
		{"UV_CONFIG_FILE", "", map[string]string{"home/.config/uv/uv.toml": `index-url = "http://no/"`, "own": `index-url = "http://own/"`}, map[string]string{"UV_CONFIG_FILE": "~/own"}, "http://own/"},
		{"UV_NO_CONFIG", "", toml(`index-url = "http://no/"`), map[string]string{"UV_NO_CONFIG": "1"}, Default},
		{"pre-releases", "", toml("prerelease = \"allow\"\nindex-strategy = \"unsafe-best-match\""), nil, Default + " pre best"},
		{"the environment is stronger", "", toml("prerelease = \"allow\""), map[string]string{"UV_PRERELEASE": "disallow", "UV_INDEX_STRATEGY": "unsafe-first-match"}, Default + " best"},
		{"unknown keys", "", toml("[pip]\nindex-url = \"http://no/\"\n[x]\ny = 1"), nil, Default},
		{"Windows", "windows", map[string]string{"ad/uv/uv.toml": `index-url = "http://a/"`}, map[string]string{"APPDATA": "~/ad"}, "http://a/"},
		{"macOS has the folder of Linux", "darwin", toml(`index-url = "http://a/"`), nil, "http://a/"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.goos == "" {
				c.goos = "linux"
			}
			got, err := discover(t, Settings{Kind: UV, GOOS: c.goos}, c.files, c.env)
			words := urlsOf(got).urls
			if got.Pre {
				words = append(words, "pre")
			}
			if !got.FirstWins {
				words = append(words, "best")
			}
			if text := strings.Join(words, " "); err != nil || text != c.want {
				t.Errorf("%s, %v, want %s", text, err, c.want)
			}
		})
	}
}

func TestDiscoverErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		s     Settings
		files map[string]string
		env   map[string]string
		code  int
		words string
	}{
		{"no scheme", Settings{Index: "someone:s3cret@host/simple"}, nil, nil, exitcode.DataErr, "--index"},
		{"a folder", Settings{Index: "/srv/wheels"}, nil, nil, exitcode.DataErr, `"/srv/wheels"`},
		{"file URL", Settings{}, nil, map[string]string{"PIP_INDEX_URL": "file:///srv"}, exitcode.DataErr, "PIP_INDEX_URL"},
		{"no host", Settings{}, nil, map[string]string{"PIP_INDEX_URL": "http:///simple"}, exitcode.DataErr, "PIP_INDEX_URL"},
		{"a bad extra one", Settings{}, nil, map[string]string{"PIP_EXTRA_INDEX_URL": "http://a/ http://someone:s3cret@[::1"}, exitcode.DataErr, "PIP_EXTRA_INDEX_URL"},
		{"escapes", Settings{Index: "http://x/\x1b[31m"}, nil, nil, exitcode.DataErr, "--index"},
		{"escapes in a scheme", Settings{Index: "ftp://x/%1b[31m"}, nil, nil, exitcode.DataErr, "--index"},
		{"pip.conf is no INI file", Settings{}, map[string]string{"home/.config/pip/pip.conf": "[global]\nhttps//someone/s3cret"}, nil, exitcode.DataErr, "line 2"},
		{"pip.conf without a section", Settings{}, map[string]string{"venv/pip.conf": "index-url = http://someone:s3cret@x/"}, nil, exitcode.DataErr, "line 1"},
		{"pip.conf with a name twice", Settings{}, map[string]string{"venv/pip.conf": "[a]\nx=1\nx=s3cret"}, nil, exitcode.DataErr, "line 3"},
		{"no-index", Settings{}, nil, map[string]string{"PIP_NO_INDEX": "true"}, exitcode.Unavailable, "PIP_NO_INDEX"},
		{"no-index of a file", Settings{}, map[string]string{"venv/pip.conf": "[install]\nno-index = 1"}, nil, exitcode.Unavailable, "pip.conf"},
		{"no-index of the arguments", Settings{Args: []string{"--no-index"}}, nil, nil, exitcode.Unavailable, "arguments"},
		{"neither on nor off", Settings{}, nil, map[string]string{"PIP_PRE": "maybe\x1b"}, exitcode.DataErr, "PIP_PRE"},
		{"uv.toml is no TOML", Settings{Kind: UV}, map[string]string{"home/.config/uv/uv.toml": "a = 1\nindex-url = http://someone:s3cret@x/"}, nil, exitcode.DataErr, "line 2"},
		{"uv.toml of wrong types", Settings{Kind: UV}, map[string]string{"home/.config/uv/uv.toml": `index-url = ["http://someone:s3cret@x/"]`}, nil, exitcode.DataErr, "wrong type"},
		{"uv without an index", Settings{Kind: UV}, map[string]string{"home/.config/uv/uv.toml": "no-index = true"}, nil, exitcode.Unavailable, "uv.toml"},
		{"UV_NO_INDEX", Settings{Kind: UV}, nil, map[string]string{"UV_NO_INDEX": "1"}, exitcode.Unavailable, "UV_INDEX"},
		{"UV_NO_INDEX is garbage", Settings{Kind: UV}, nil, map[string]string{"UV_NO_INDEX": "\x1b"}, exitcode.DataErr, "UV_NO_INDEX"},
		{"uv with a folder", Settings{Kind: UV}, nil, map[string]string{"UV_DEFAULT_INDEX": "./wheels"}, exitcode.DataErr, "UV_DEFAULT_INDEX"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.s.GOOS = "linux"
			got, err := discover(t, c.s, c.files, c.env)
			checkError(t, err, c.code, c.words)
			if len(got.Indexes) > 0 && got.Indexes[0].url != nil {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestConfigurationThatIsAFolder(t *testing.T) {
	if got, err := discover(t, Settings{GOOS: "linux"}, map[string]string{"venv/pip.conf/x": "", "home/.config/pip/pip.conf": conf("user")}, nil); err != nil || got.Indexes[0].String() != "https://user/simple" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestIndexShowsNoSecret(t *testing.T) {
	c, err := Discover(Settings{Index: "https://someone:s3cret@host:8443/a/simple/?token=s3cret#s3cret"})
	if err != nil || c.Indexes[0].String() != "https://host:8443/a/simple/" || c.Indexes[0].From != "--index" {
		t.Errorf("%v, %v", c, err)
	}
}

// TestDiscoverWithoutAnything: no home, no environment.
func TestDiscoverWithoutAnything(t *testing.T) {
	for _, goos := range []string{"windows", "darwin", "linux"} {
		for _, kind := range []Kind{Pip, Pipx, UV} {
			got, err := Discover(Settings{Kind: kind, GOOS: goos, etc: t.TempDir()})
			if want := []string{Default}; err != nil || !reflect.DeepEqual(urlsOf(got).urls, want) {
				t.Errorf("%s: %v, %v", goos, got, err)
			}
		}
	}
}
