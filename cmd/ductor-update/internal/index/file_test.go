package index

import "testing"

// TestFits has the tags of a wheel and the systems that it is for.
func TestFits(t *testing.T) {
	linux, mac, windows := system{11, "linux"}, system{11, "darwin"}, system{11, "windows"}
	unknown := system{-1, "linux"}
	for _, c := range []struct {
		tags string
		s    system
		want bool
	}{
		{"py3-none-any", linux, true}, {"py3-none-any", mac, true}, {"py3-none-any", windows, true}, {"py3-none-any", unknown, true},
		{"py2-none-any", linux, false}, {"py2-none-any", unknown, false}, {"py2.py3-none-any", linux, true},
		{"py311-none-any", linux, true}, {"py312-none-any", linux, false}, {"py312-none-any", unknown, true}, {"py3x-none-any", linux, false},
		{"cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", linux, true}, {"cp311-cp311-musllinux_1_1_x86_64", linux, true}, {"cp311-cp311-linux_armv7l", linux, true},
		{"cp310-cp310-manylinux_2_17_x86_64", linux, false}, {"cp310-cp310-manylinux_2_17_x86_64", unknown, true}, {"cp310-abi3-manylinux_2_17_x86_64", linux, true}, {"cp312-abi3-any", linux, false},
		{"cp311-cp311-macosx_11_0_arm64", mac, true}, {"cp311-cp311-macosx_11_0_arm64", linux, false}, {"cp311-cp311-macosx_11_0_arm64", windows, false},
		{"cp311-cp311-win_amd64", windows, true}, {"cp311-cp311-win32", windows, true}, {"cp311-cp311-win_amd64", mac, false}, {"cp311-cp311-win_amd64", linux, false}, {"cp311-cp311-manylinux1_x86_64", mac, false},
		{"cp3-none-any", linux, false}, {"pp311-pypy311_pp73-any", linux, false}, {"cp310-none-any", linux, false},
	} {
		d, ok := parseFileName("bot-1.0-"+c.tags+".whl", "bot")
		if !ok || d.fits(c.s) != c.want {
			t.Errorf("%s on %+v: %v, %v", c.tags, c.s, d.fits(c.s), ok)
		}
	}
}
