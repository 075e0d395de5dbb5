//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// now is the clock of the bots.
func now() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}

// bot is bench/bot.c seen from outside: it tells of each start through a FIFO
// and of each end in a file.
type bot struct {
	argv    []string
	fifo    *os.File
	lines   *bufio.Reader
	file    string
	pid     int
	started int64 // by now()
}

// botPatience is how long a bot may take to start: air waits a second, and
// supervisord is a Python program.
const botPatience = 15 * time.Second

func (b *bench) newBot() (*bot, error) {
	dir := b.folder("bot")
	fifo, file := filepath.Join(dir, "started"), filepath.Join(dir, "left")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		return nil, fmt.Errorf("make a FIFO: %w", err)
	}
	// For writing too: a bot that opens it must not wait, and the end of one
	// bot is not the end of the file.
	f, err := os.OpenFile(fifo, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return &bot{argv: []string{b.helper("bot"), fifo, file}, fifo: f, lines: bufio.NewReader(f), file: file}, nil
}

// next waits for a start.
func (t *bot) next(patience time.Duration) error {
	if err := t.fifo.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	line, err := t.lines.ReadString('\n')
	if err != nil {
		return fmt.Errorf("no bot started within %s: %w", patience, errors.Unwrap(err))
	}
	if _, err := fmt.Sscan(line, &t.pid, &t.started); err != nil {
		return fmt.Errorf("the bot said %q: %w", line, err)
	}
	return nil
}

// age waits until the bot has run for d.
func (t *bot) age(d time.Duration) { time.Sleep(time.Duration(t.started-now()) + d) }

// replace makes the bot leave with 42, and returns the time from its last
// instruction to the first of the next bot.
func (t *bot) replace() (time.Duration, error) {
	old, asked := t.pid, now()
	if err := syscall.Kill(old, syscall.SIGUSR2); err != nil {
		return 0, fmt.Errorf("ask bot %d to leave: %w", old, err)
	}
	if err := t.next(botPatience); err != nil {
		return 0, err
	}
	text, err := os.ReadFile(t.file)
	if err != nil {
		return 0, err
	}
	left, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || left < asked || left > t.started {
		return 0, fmt.Errorf("bot %d left at %q, but was asked at %d and followed at %d", old, text, asked, t.started)
	}
	return time.Duration(t.started - left), nil
}
