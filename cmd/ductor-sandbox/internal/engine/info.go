package engine

import (
	"context"
	"strings"

	"github.com/docker/docker/api/types/system"
)

// Info is what a daemon says of itself and of its machine.
type Info struct {
	Version  string
	OS       string // linux, windows
	Arch     string // as GOARCH has it: amd64, arm64
	Kernel   string
	Memory   int64 // of the machine, or of the virtual one that Docker Desktop has; bytes, 0 unknown
	CPUs     int   // 0 unknown
	Rootless bool  // root in a container is the user who runs the daemon
	Desktop  bool  // containers live in a virtual machine
	Podman   bool
	UserNS   bool // userns-remap: root in a container is nobody outside
	SELinux  bool
	Seccomp  bool // a profile is in force by default
	CgroupV2 bool
	// Limits that the kernel can enforce here.
	MemoryLimit, SwapLimit, PidsLimit, CPULimit bool
	Warnings                                    []string // the daemon's own, for people
}

// Info asks once and remembers the answer. It waits for at most the Timeout
// that Find was given. Errors are those of Classify.
func (e *Engine) Info(ctx context.Context) (Info, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.info != nil {
		return *e.info, nil
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	raw, err := e.Client.Info(ctx)
	if err != nil {
		return Info{}, Classify(err, "ask the Docker daemon about itself")
	}
	info := digest(raw)
	info.Podman = e.Podman
	e.info = &info
	return info, nil
}

func digest(raw system.Info) Info {
	has := func(name string) bool { return hasOption(raw.SecurityOptions, name) }
	info := Info{
		Version: printable(raw.ServerVersion), OS: printable(raw.OSType), Arch: goarch(raw.Architecture), Kernel: printable(raw.KernelVersion),
		Memory: max(0, raw.MemTotal), CPUs: max(0, raw.NCPU),
		Rootless: has("rootless"), UserNS: has("userns"), SELinux: has("selinux"), Seccomp: has("seccomp") && !hasProfile(raw.SecurityOptions, "unconfined"),
		Desktop: raw.OperatingSystem == "Docker Desktop", CgroupV2: raw.CgroupVersion == "2",
		MemoryLimit: raw.MemoryLimit, SwapLimit: raw.SwapLimit, PidsLimit: raw.PidsLimit, CPULimit: raw.CPUCfsQuota,
	}
	for _, w := range raw.Warnings {
		info.Warnings = append(info.Warnings, strings.TrimPrefix(printable(w), "WARNING: "))
	}
	return info
}

// hasOption looks for name=X in entries like "name=seccomp,profile=default".
// Before API 1.25 they were bare words, which Podman's imitation may still send.
func hasOption(options []string, name string) bool {
	for _, o := range options {
		word, _, _ := strings.Cut(o, ",")
		if strings.TrimPrefix(word, "name=") == name {
			return true
		}
	}
	return false
}

func hasProfile(options []string, profile string) bool {
	for _, o := range options {
		if hasOption([]string{o}, "seccomp") && strings.HasSuffix(o, "profile="+profile) {
			return true
		}
	}
	return false
}

// goarch translates uname's words.
func goarch(machine string) string {
	words := map[string]string{
		"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm", "i386": "386", "i686": "386",
	}
	if word, ok := words[machine]; ok {
		return word
	}
	return printable(machine)
}
