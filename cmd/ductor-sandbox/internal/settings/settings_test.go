package settings

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ductor/cmd/ductor-sandbox/internal/mount"
	"ductor/internal/common/exitcode"
)

func config(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaults(t *testing.T) {
	for _, content := range []string{`{}`, `{"docker":{}}`, `{"docker":null}`, `{"telegram_token":"x","docker":{"other":[1],"enabled":null}}`} {
		s, err := Load(config(t, content), "ductor")
		if other := strings.Contains(content, "other"); other != slices.Equal(s.Unknown, []string{"other"}) {
			t.Errorf("%s: what is not known: %q", content, s.Unknown)
		}
		s.Unknown = nil
		if err != nil || !reflect.DeepEqual(s, Default("")) {
			t.Errorf("%s: %+v, %v", content, s, err)
		}
	}
	s, err := Load(filepath.Join(t.TempDir(), "absent"), "nas")
	if err != nil || s.Container != "ductor-sandbox-nas" || s.Image != "ductor-sandbox" || !s.Enabled || !s.AutoBuild || s.Network != "bridge" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestEveryKey(t *testing.T) {
	path := config(t, `{"docker":{"enabled":false,"image_name":"reg.example:5000/a/b@sha256:`+strings.Repeat("a", 64)+`","container_name":"c_1","auto_build":false,
		"dockerfile":"/x/Dockerfile","network":"none","memory":"2g","cpus":1.5,"pids":64,"read_only":true,
		"writable":["cron_jobs.json","/h/data","cron_jobs.json"],"mounts":["/src","/doc:ro"],"env_pass":["ANTHROPIC_API_KEY"]}}`)
	got, err := Load(path, "nas")
	want := Settings{
		Image: "reg.example:5000/a/b@sha256:" + strings.Repeat("a", 64), Container: "c_1", Dockerfile: "/x/Dockerfile", Network: "none",
		Memory: 2 << 30, CPUs: 1.5, Pids: 64, ReadOnly: true, Writable: []string{"cron_jobs.json", "/h/data"},
		Mounts: []mount.Extra{{Path: "/src"}, {Path: "/doc", ReadOnly: true}}, EnvPass: []string{"ANTHROPIC_API_KEY"},
	}
	if filepath.Separator != '/' {
		t.Skip("the dockerfile's path is another system's")
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
}

// TestKeysKeepTheirCase: the bot reads "enabled" only.
func TestKeysKeepTheirCase(t *testing.T) {
	s, err := Load(config(t, `{"docker":{"enabled":false,"ENABLED":true},"DOCKER":{"enabled":true}}`), "")
	if err != nil || s.Enabled {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestMalformedFiles(t *testing.T) {
	for name, content := range map[string]string{
		"empty": "", "torn": `{"docker":{"enabled":fal`, "list": `[]`, "number": `1`, "two": `{}{}`,
		"not UTF-8": "{\"docker\":{\"image_name\":\"\xff\"}}", "huge": `{"x":"` + strings.Repeat("x", maxConfig) + `"}`,
	} {
		path := config(t, content)
		_, err := Load(path, "")
		if exitcode.Of(err) != exitcode.DataErr || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	dir := t.TempDir()
	if _, err := Load(dir, ""); exitcode.Of(err) != exitcode.DataErr {
		t.Errorf("folder: %v", err)
	}
}

func TestMalformedKeys(t *testing.T) {
	for _, c := range []struct{ key, value string }{
		{"", `[]`}, {"", `"x"`}, {"", `1`},
		{"enabled", `"false"`}, {"enabled", `0`}, {"auto_build", `1`}, {"read_only", `{}`},
		{"image_name", `1`}, {"image_name", `""`}, {"image_name", `"A"`}, {"image_name", `"a:b:c"`}, {"image_name", `"-x"`}, {"image_name", `"a b"`},
		{"container_name", `""`}, {"container_name", `"/x"`}, {"container_name", `"-x"`}, {"container_name", `"x"`}, {"container_name", `"a\n"`}, {"container_name", `[]`},
		{"dockerfile", `true`}, {"dockerfile", `"Dockerfile"`}, {"dockerfile", `"/a\u0000"`},
		{"network", `"host"`}, {"network", `"container:x"`}, {"network", `""`}, {"network", `1`},
		{"memory", `"lots"`}, {"memory", `"5m"`}, {"memory", `0`}, {"memory", `-1`}, {"memory", `1.5`}, {"memory", `"-2g"`}, {"memory", `"9e30g"`}, {"memory", `1e300`}, {"memory", `true`}, {"memory", `"2g2"`}, {"memory", `[]`}, {"memory", `""`},
		{"cpus", `0`}, {"cpus", `-1`}, {"cpus", `"2"`}, {"cpus", `0.001`}, {"cpus", `1e9`},
		{"pids", `31`}, {"pids", `1.5`}, {"pids", `"64"`}, {"pids", `99999999999999999999`}, {"pids", `5000000`},
		{"writable", `"x"`}, {"writable", `[1]`}, {"writable", `[null]`}, {"writable", `[""]`}, {"writable", `["a\nb"]`},
		{"mounts", `["src"]`}, {"mounts", `[""]`}, {"mounts", `["/a\u0000"]`}, {"mounts", `{}`}, {"mounts", `["/ok",["/x"]]`},
		{"env_pass", `["A=B"]`}, {"env_pass", `["1A"]`}, {"env_pass", `[""]`}, {"env_pass", `"A"`}, {"env_pass", `["A\n"]`},
	} {
		content, key := `{"docker":{"`+c.key+`":`+c.value+`}}`, "docker."+c.key
		if c.key == "" {
			content, key = `{"docker":`+c.value+`}`, "docker"
		}
		path := config(t, content)
		_, err := Load(path, "")
		if exitcode.Of(err) != exitcode.DataErr {
			t.Errorf("%s: %v", content, err)
			continue
		}
		if msg := err.Error(); !strings.Contains(msg, path) || !strings.Contains(msg, `"`+key+`"`) || strings.Contains(msg, "Go ") || strings.Contains(msg, "\n") {
			t.Errorf("%s: %v", content, err)
		}
	}
}

func ptr[T any](v T) *T { return &v }

func TestFlagsWin(t *testing.T) {
	base := Default("")
	base.Mounts = []mount.Extra{{Path: "/src"}, {Path: "/a"}}
	base.Writable, base.Memory = []string{"x"}, 1<<30
	got, err := base.With(Flags{
		Image: ptr("i:1"), Container: ptr("c2"), Dockerfile: ptr("D"), Network: ptr("none"), Memory: ptr("512MiB"), CPUs: ptr(".5"), Pids: ptr("100"),
		AutoBuild: ptr(false), ReadOnly: ptr(true), Writable: []string{"y", "x"}, Mounts: []string{"/src:ro"}, EnvPass: []string{"K"},
	})
	want := Settings{
		Enabled: true, Image: "i:1", Container: "c2", Dockerfile: "D", Network: "none", Memory: 512 << 20, CPUs: .5, Pids: 100, ReadOnly: true,
		Writable: []string{"x", "y"}, Mounts: []mount.Extra{{Path: "/a"}, {Path: "/src", ReadOnly: true}}, EnvPass: []string{"K"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	if len(base.Writable) != 1 || len(base.Mounts) != 2 || base.Mounts[0].ReadOnly {
		t.Errorf("the settings were changed: %+v", base)
	}
	if got, err := base.With(Flags{}); err != nil || !reflect.DeepEqual(got, base) && len(got.EnvPass) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestMalformedFlags(t *testing.T) {
	for _, c := range []struct {
		flag, value string
		flags       Flags
	}{
		{"--image", `"A"`, Flags{Image: ptr("A")}},
		{"--image", `""`, Flags{Image: ptr("")}},
		{"--container", `"-"`, Flags{Container: ptr("-")}},
		{"--dockerfile", `"a\x00"`, Flags{Dockerfile: ptr("a\x00")}},
		{"--network", `"host"`, Flags{Network: ptr("host")}},
		{"--memory", `""`, Flags{Memory: ptr("")}},
		{"--memory", `"1k"`, Flags{Memory: ptr("1k")}},
		{"--memory", `"1 0g"`, Flags{Memory: ptr("1 0g")}},
		{"--cpus", `"many"`, Flags{CPUs: ptr("many")}},
		{"--cpus", "NaN", Flags{CPUs: ptr("NaN")}},
		{"--cpus", "+Inf", Flags{CPUs: ptr("inf")}},
		{"--pids", `"1e3"`, Flags{Pids: ptr("1e3")}},
		{"--pids", "31", Flags{Pids: ptr("31")}},
		{"--rw", `""`, Flags{Writable: []string{""}}},
		{"--mount", `"src"`, Flags{Mounts: []string{"/ok", "src"}}},
		{"--env-pass", `"A=1"`, Flags{EnvPass: []string{"A=1"}}},
	} {
		_, err := Default("").With(c.flags)
		if exitcode.Of(err) != exitcode.Usage || !strings.HasPrefix(err.Error(), c.flag+": ") || !strings.Contains(err.Error(), c.value) {
			t.Errorf("%s %s: %v", c.flag, c.value, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(`{"docker":{"memory":"2g","mounts":["/a:ro"],"cpus":1}}`)
	f.Add(`{"docker":{"memory":1e300,"pids":-0}}`)
	f.Fuzz(func(t *testing.T, content string) {
		s, err := Load(config(t, content), "")
		switch {
		case err != nil && exitcode.Of(err) != exitcode.DataErr:
			t.Errorf("%v", err)
		case err == nil && (s.Memory < 0 || s.Memory > 0 && s.Memory < minMemory || s.Pids < 0 || s.CPUs < 0 || s.Image == "" || s.Container == ""):
			t.Errorf("%+v", s)
		}
	})
}
