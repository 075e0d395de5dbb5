package mount

import (
	"path/filepath"
	"strings"
	"testing"
)

const mountinfo = `1 0 0:1 / / rw,relatime - overlay overlay rw
2 1 8:1 /h /ductor ro,relatime - ext4 /dev/sda rw
3 1 8:1 /c /home/node/.claude rw,relatime master:1 - ext4 /dev/sda rw
4 3 8:1 /c/s /home/node/.claude/settings.json ro,relatime - ext4 /dev/sda rw
5 1 8:1 /w /w\040s rw - ext4 /dev/sda rw
6 5 8:1 /w/.git/hooks /w\040s/.git/hooks rw - ext4 /dev/sda rw
`

func TestLost(t *testing.T) {
	plan := Plan{Mounts: []Mount{
		{Source: "/h", Target: "/ductor", ReadOnly: true},
		{Source: "/w", Target: "/w s"},
		{Source: "/w", Target: "/link/to"}, // a symbolic link inside: it has another name
		{Target: "/ductor/config", Tmpfs: true, ReadOnly: true},
		{Source: "/w/.git", Target: "/w s/.git"},
		{Source: "/c", Target: "/home/node/.claude"},
		{Source: "/c/s", Target: "/home/node/.claude/settings.json", ReadOnly: true},
		{Source: "/c/hooks", Target: "/home/node/.claude/hooks", ReadOnly: true},
		{Source: "/w/.git/hooks", Target: "/w s/.git/hooks", ReadOnly: true},
		{Source: "/w/.mcp.json", Target: "/link/to/.mcp.json", ReadOnly: true},
	}}
	if got := strings.Join(plan.Lost(mountinfo, ""), " "); got != "/ductor/config /home/node/.claude/hooks" {
		t.Error(got) // .git/hooks are not known: the folder around them may be a link
	}
	all := mountinfo + `7 5 8:1 /w/.git /w\040s/.git rw - ext4 /dev/sda rw` + "\n"
	if got := strings.Join(plan.Lost(all, ""), " "); got != "/ductor/config /home/node/.claude/hooks /w s/.git/hooks" {
		t.Error(got)
	}
	for _, other := range []string{"", "\n", "x y\n", "1 0 0:1 / / rw - ext4 /dev/sda rw\n"} { // of another machine
		if got := plan.Lost(other, mountinfo); got != nil {
			t.Error(got)
		}
	}
}

// TestLostWhatLeadsElsewhere: each way in which a host holds a folder, and what a
// container shows that has it, or another one.
func TestLostWhatLeadsElsewhere(t *testing.T) {
	const host = `27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 27 0:30 /@home /home rw - btrfs /dev/vdb rw,subvol=/@home
31 30 8:1 /deep/data /home/u/bind rw - ext4 /dev/sda rw
32 27 8:2 / /disk rw - ext4 /dev/sdb rw
33 32 8:3 / /disk rw - ext4 /dev/sdc rw
34 27 0:40 / /over rw - overlay overlay rw
35 27 0:41 / /fuse rw - fuse.sshfs u@h:/ rw
36 27 8:4 / /hid/below rw - ext4 /dev/sdd rw
37 27 8:5 / /hid rw - ext4 /dev/sde rw
38 27 8:6 /x\040y\134z\011 /sp\040ace rw - ext4 /dev/sdf rw
39 27 8:7 /gone//deleted /gone rw - ext4 /dev/sdg rw
40 27 8:8 / /home2 rw - ext4 /dev/sdh rw
41 27 8:9 / /twin rw - ext4 /dev/sdi rw
42 27 8:10 / /twin rw - ext4 /dev/sdj rw
`
	for _, c := range []struct {
		source, right string
		wrong         []string
	}{
		{"/w/.git", "254:0 /w/.git", []string{"254:0 /root/.ssh", "254:0 /w", "254:0 /w/.git/x", "254:1 /w/.git", "254:0 /", "254:0 /root/.ssh//deleted"}},
		{"/w/file", "254:0 /w/file//deleted", []string{"254:0 /w/file2", "254:0 /w/file/deleted"}},
		{"/home/u/w", "0:30 /@home/u/w", []string{"0:30 /home/u/w", "0:30 /@home/u", "254:0 /home/u/w"}},
		{"/home", "0:30 /@home", []string{"0:30 /", "254:0 /home"}},
		{"/home/u/bind/s", "8:1 /deep/data/s", []string{"0:30 /@home/u/bind/s", "8:1 /s"}},
		{"/home/u/bind", "8:1 /deep/data", []string{"8:1 /deep"}},
		{"/home/u/binder", "0:30 /@home/u/binder", []string{"8:1 /deep/dataer"}},
		{"/home2/u", "8:8 /u", []string{"0:30 /@home2/u"}},
		{"/disk/a", "8:3 /a", []string{"8:2 /a"}},
		{"/disk", "8:3 /", []string{"8:2 /"}},
		{"/over/w", "0:40 /w", []string{"0:41 /w"}},
		{"/fuse/w", "0:41 /w", []string{"0:41 /"}},
		{"/hid/below/w", "8:5 /below/w", []string{"8:4 /w"}},
		{"/sp ace/é\r\u00a0\v/w", `8:6 /x\040y\134z\011/é` + "\r\u00a0\v/w", []string{`8:6 /x\040y\134z\011`}},
		{"/twin/x", "8:10 /x", []string{"8:9 /x"}},
		{"/gone", "8:7 /gone//deleted", []string{"8:7 /deleted"}},
	} {
		plan := Plan{Mounts: []Mount{{Source: "/h", Target: "/ductor", ReadOnly: true}, {Source: c.source, Target: "/t\u00a0"}}}
		text := func(places ...string) string {
			inside := "50 0 0:9 / / rw - overlay overlay rw\n51 50 254:0 /h /ductor ro - ext4 /dev/vda rw\n"
			for _, place := range places {
				inside += "52 50 " + place + " /t\u00a0 rw - ext4 x rw\n"
			}
			return inside
		}
		if got := plan.Lost(text(c.right), host); got != nil {
			t.Errorf("%s is at %s: %q", c.source, c.right, got)
		}
		for _, wrong := range c.wrong {
			if got := plan.Lost(text(wrong), host); len(got) != 1 || got[0] != "/t\u00a0" {
				t.Errorf("%s is not at %s: %q", c.source, wrong, got)
			}
			if got := plan.Lost(text(wrong, c.right), host); got != nil { // the last one is on top
				t.Errorf("%s is at %s: %q", c.source, c.right, got)
			}
			if got := plan.Lost(text(c.right, wrong), host); len(got) != 1 {
				t.Errorf("%s is not at %s: %q", c.source, wrong, got)
			}
			for _, unknown := range []string{"", "60 59 0:7 / /other rw - ext4 x rw\n"} {
				if got := plan.Lost(text(wrong), unknown); got != nil {
					t.Errorf("nothing is known: %q", got)
				}
			}
		}
	}
}

// TestLostWhereALinkLed: what is mounted over itself is not there, because the
// container's own folders were followed. A workspace that is a link is meant so.
func TestLostWhereALinkLed(t *testing.T) {
	if filepath.Separator != '/' {
		t.Skip("the container's list can be read on Linux alone")
	}
	plan := Plan{Mounts: []Mount{
		{Source: "/u/h", Target: "/ductor", ReadOnly: true},
		{Target: "/ductor/config", Tmpfs: true, ReadOnly: true},
		{Source: "/u/w", Target: "/ductor/workspace"}, // h/workspace is a link to it
		{Source: "/u/w", Target: "/u/w"},
		{Source: "/u/w/.git", Target: "/u/w/.git"},
	}}
	const host = "1 1 8:1 / / rw - ext4 x rw\n"
	inside := `50 0 0:9 / / rw - overlay overlay rw
51 50 8:1 /u/h /ductor ro - ext4 x rw
52 51 0:10 / /ductor/config ro - tmpfs tmpfs rw
53 50 8:1 /u/w /u/w rw - ext4 x rw
54 50 8:1 /u/.ssh /u/.ssh rw - ext4 x rw
`
	if got := plan.Lost(inside, host); len(got) != 1 || got[0] != "/u/w/.git" {
		t.Error(got)
	}
	if got := plan.Lost(inside, ""); got != nil {
		t.Error(got)
	}
	if got := plan.Lost(inside+"55 53 8:1 /u/w/.git /u/w/.git rw - ext4 x rw\n", host); got != nil {
		t.Error(got)
	}
	if got := plan.Lost(inside+"55 53 8:1 /u/.ssh /u/w/.git rw - ext4 x rw\n", host); len(got) != 1 {
		t.Error(got)
	}
}
