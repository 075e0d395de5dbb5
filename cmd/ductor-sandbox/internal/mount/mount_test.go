package mount

import (
	"testing"

	"ductor/internal/common/exitcode"
)

func TestParseExtra(t *testing.T) {
	for in, want := range map[string]Extra{
		"/src": {Path: "/src"}, "/src:rw": {Path: "/src"}, "/src:ro": {Path: "/src", ReadOnly: true},
		"/a/../b//c/": {Path: "/b/c"}, "/": {Path: "/"}, "/:ro": {Path: "/", ReadOnly: true},
		"/a:b": {Path: "/a:b"}, "/a:ro:rw": {Path: "/a:ro"}, "/a,b 'c' \"d\" é": {Path: "/a,b 'c' \"d\" é"},
		`c:\src\x`: {Path: `C:\src\x`}, `C:/src/../y:ro`: {Path: `C:\y`, ReadOnly: true}, `d:\`: {Path: `D:\`},
	} {
		if got, err := ParseExtra(in); err != nil || got != want {
			t.Errorf("%q: %+v, %v", in, got, err)
		} else if again, err := ParseExtra(got.String()); err != nil || again != got {
			t.Errorf("%q: %+v, %v", got, again, err)
		}
	}
	for _, in := range []string{"", ":ro", "src", "./src", "~/src", "C:ro", "c:src", `\\host\share`, "/a\n", "/a\x00b", "/a\xff", ":ro:ro"} {
		if e, err := ParseExtra(in); exitcode.Of(err) != exitcode.Usage {
			t.Errorf("%q: %+v, %v", in, e, err)
		}
	}
}

func TestInsideOfWindowsPaths(t *testing.T) {
	if got := inside(`C:\src\x`, `C:\src\x`); len(got) != 1 || got[0] != "/c/src/x" {
		t.Error(got)
	}
}

func TestPasswd(t *testing.T) {
	for _, c := range []struct {
		uid, gid int
		passwd   string
		group    string
	}{
		{1000, 100, "root:x:0:0:root:/root:/bin/sh\nnode:x:1000:100:node:/home/node:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n", "root:x:0:\nnode:x:100:\nnogroup:x:65534:\n"},
		{0, 0, "root:x:0:0:root:/home/node:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n", "root:x:0:\nnogroup:x:65534:\n"},
		{65534, 65534, "root:x:0:0:root:/root:/bin/sh\nnode:x:65534:65534:node:/home/node:/bin/sh\n", "root:x:0:\nnode:x:65534:\n"},
	} {
		if passwd, group := Passwd(c.uid, c.gid); passwd != c.passwd || group != c.group {
			t.Errorf("%d:%d\n%s%s", c.uid, c.gid, passwd, group)
		}
	}
}
