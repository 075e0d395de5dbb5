//go:build linux

package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	sandboxRounds = 40 // of one command
	crowdedRounds = 12 // of many at once
	floodRounds   = 8
)

// benchImage is that of the tests.
const benchImage = `FROM scratch
COPY fakecli /bin/fakecli
CMD ["/bin/fakecli", "idle"]
`

// caged is one container in which both ductor-sandbox and docker run commands.
type caged struct {
	*bench
	docker, program string
	name            string // of the container and of the image
	env             []string
	about           string
}

// sandbox is what a command in the container costs, beside docker's own.
func (b *bench) sandbox() []section {
	run := section{what: "command in a container", unit: "ms", digits: 1, ref: "docker exec", budget: atMost("≤ 0.75 × docker exec", 0.75, "docker exec", 0)}
	c := &caged{bench: b, docker: b.find("docker"), program: b.ours("ductor-sandbox"), name: "ductor-bench-" + strings.ToLower(rand.Text())}
	if c.docker == "" {
		return nil
	}
	defer b.later(c.remove)()
	if err := c.make(); err != nil {
		run.rows = []row{{name: "container", err: err}}
		return []section{run}
	}
	run.note = c.about
	once := contender{"docker run --rm", false, []string{c.docker, "run", "--rm", c.name, "fakecli", "exit", "0"}, c.env}
	run.rows = b.compare(sandboxRounds, append(c.withInput("exit", "0"), once))
	return append([]section{run, c.status()}, append(c.crowded(), c.flood()...)...)
}

// make builds the image, and has ductor-sandbox make the container.
func (c *caged) make() (err error) {
	for _, name := range []string{"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"} {
		if v := c.bench.env(name); v != "" {
			c.env = append(c.env, name+"="+v)
		}
	}
	c.env = append(c.env, "DUCTOR_HOME="+filepath.Join(c.folder("sandbox"), "home"))
	dir := c.folder("image")
	if err := os.Link(c.helper("fakecli"), filepath.Join(dir, "fakecli")); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(benchImage), 0o600); err != nil {
		return err
	}
	c.about, err = c.setUp(c.env, []string{c.docker, "build", "--label", "dev.ductor.test=1", "--label", c.label(), "-t", c.name, dir},
		append(c.ours("up"), "--timeout", "1m"), []string{c.docker, "info", "--format", "Docker {{.ServerVersion}}, {{.Driver}}, cgroup v{{.CgroupVersion}}"})
	return err
}

// ours is a call of ductor-sandbox.
func (c *caged) ours(verb string) []string {
	return []string{c.program, verb, "--image", c.name, "--container", c.name}
}

// both run fakecli in the container, with a flag or without.
func (c *caged) both(flag string, args ...string) []contender {
	words, flags, suffix := append([]string{"fakecli"}, args...), strings.Fields(flag), ""
	if flag != "" {
		suffix = " " + flag
	}
	return []contender{
		{"ductor-sandbox exec" + suffix, true, slices.Concat(c.ours("exec"), flags, []string{"--"}, words), c.env},
		{"docker exec" + suffix, false, slices.Concat([]string{c.docker, "exec"}, flags, []string{c.name}, words), c.env},
	}
}

// withInput has docker exec -i too, which passes standard input on, as ours does.
func (c *caged) withInput(args ...string) []contender {
	argv := append([]string{c.docker, "exec", "-i", c.name, "fakecli"}, args...)
	return append(c.both("", args...), contender{"docker exec -i", false, argv, c.env})
}

func (c *caged) status() section {
	return section{what: "is the container up", unit: "ms", digits: 2, ref: "docker inspect", budget: fixed("≤ 10 ms", 10),
		rows: c.compare(sandboxRounds, []contender{
			{"ductor-sandbox status", true, c.ours("status"), c.env},
			{"docker inspect", false, []string{c.docker, "inspect", c.name}, c.env},
		})}
}

// crowded is the time until the last of many commands that start at once is done.
func (c *caged) crowded() (all []section) {
	for _, n := range []int{4, 16} {
		all = append(all, section{what: fmt.Sprintf("%d commands at once", n), unit: "ms", digits: 0, ref: "docker exec",
			rows: c.compareCrowds(crowdedRounds, n, c.both("", "exit", "0"))})
	}
	return all
}

// flood is much output, which goes to /dev/null on this side. With -t there is a
// terminal inside, which is slow and makes each line longer; none is needed
// outside.
func (c *caged) flood() []section {
	bytes := func(mb int) string { return fmt.Sprint(mb * 1_000_000) }
	return []section{
		c.poured("200 MB of output", 200, c.withInput("flood", bytes(200))),
		c.poured("20 MB of output through a terminal", 20, c.both("-t", "flood", bytes(20))),
	}
}

// poured measures how long so many MB take.
func (c *caged) poured(what string, mb float64, list []contender) section {
	s := section{what: what, unit: "ms", digits: 0, ref: list[1].name, rows: c.compare(floodRounds, list)}
	for i, r := range s.rows {
		if len(r.values) > 0 {
			s.rows[i].extra = fmt.Sprintf("%.0f MB/s", mb/r.median()*1e3)
		}
	}
	return s
}

// label is on the image and so on its containers. It has a name that is ours
// alone: Docker gives equal images one ID, and ancestor=NAME finds the containers
// of all that have it.
func (c *caged) label() string { return "dev.ductor.bench=" + c.name }

// remove removes every container of the image, and the image. It starts docker
// by itself, because it also has to after endAll.
func (c *caged) remove() {
	list, _ := c.call("ps", "--all", "--quiet", "--no-trunc", "--filter", "label="+c.label()).Output()
	if ids := strings.Fields(string(list)); len(ids) > 0 {
		_ = c.call(append([]string{"rm", "--force", "--volumes"}, ids...)...).Run()
	}
	_ = c.call("rmi", "--force", c.name).Run()
}

func (c *caged) call(args ...string) *exec.Cmd {
	cmd := exec.Command(c.docker, args...)
	cmd.Env = c.environ(c.env)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	return cmd
}
