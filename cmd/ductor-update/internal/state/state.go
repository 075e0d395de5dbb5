// Package state is update.json: what ductor-update knows of a bot from one run
// to the next.
//
// The file is a memory and no truth. Whatever is wrong with it, the state is as
// if it were absent, with a warning; what was there is kept as update.json.bad.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"slices"
	"time"
	"unicode/utf8"

	"ductor/internal/common/atomicfile"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/jsonout"
)

// MaxSize bounds the file, in bytes; cached answers give way first.
const MaxSize = 1 << 20

// maxIndexes is how many indexes are remembered; a user has one or two.
const maxIndexes = 8

// ErrMalformed (65) is what is wrong with a file that is not ours, or no longer.
// It is a reason for a warning: the state that comes with it can be used.
var ErrMalformed error = exitcode.Errorf(exitcode.DataErr, "malformed update state")

// State is what is remembered. The zero value is a bot that was never looked
// after. Keys that this version does not know survive a rewrite.
type State struct {
	Announced   string            // the last version that was announced
	Indexes     map[string]Answer // by Key of the index's URL
	CheckedAt   time.Time         // the last check, whatever came of it
	NextCheckAt time.Time         // see Due
	Failures    int               // failed checks in a row
	Blocked     []string          // versions that were gone back from
	Probation   json.RawMessage   // an upgrade that has to prove itself
	Journal     json.RawMessage   // an upgrade in progress
	Previous    json.RawMessage   // the last upgrade that has proven itself
	Garbage     []string          // folders to remove, which a killed run may have left

	unknown map[string]json.RawMessage
}

// Answer is what an index said the last time.
type Answer struct {
	ETag      string          `json:"etag,omitempty"`
	FetchedAt time.Time       `json:"fetched_at,omitzero"`
	Data      json.RawMessage `json:"data,omitempty"` // what the caller made of it
}

// field is a key of the file.
type field struct {
	key  string
	load func(json.RawMessage) bool // leaves the value alone if it has another type
	at   any                        // pointer to the value
}

func at[T any](key string, into *T) field {
	return field{key, func(raw json.RawMessage) bool {
		var v T
		err := json.Unmarshal(raw, &v)
		if err == nil {
			*into = v
		}
		return err == nil
	}, into}
}

func (s *State) fields() []field {
	return []field{
		at("announced", &s.Announced), at("indexes", &s.Indexes), at("checked_at", &s.CheckedAt), at("next_check_at", &s.NextCheckAt),
		at("failures", &s.Failures), at("blocked", &s.Blocked), at("probation", &s.Probation), at("journal", &s.Journal),
		at("previous", &s.Previous), at("garbage", &s.Garbage),
	}
}

// Read returns the state, which is usable whatever the error: an absent file is
// no error, and one that cannot be understood is ErrMalformed. A key of the
// wrong type is left out alone, so that a journal is not lost for the sake of a
// number.
func Read(path string) (State, error) {
	data, err := atomicfile.Read(path, MaxSize)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return State{}, nil
	case errors.Is(err, atomicfile.ErrNoFile):
		return State{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	case err != nil:
		return State{}, exitcode.File(exitcode.IOErr, err)
	}
	s, err := Parse(data)
	if err != nil {
		return s, fmt.Errorf("read %q: %w", path, err)
	}
	return s, nil
}

// Parse decodes update.json; see Read.
func Parse(data []byte) (State, error) {
	var s State
	if !utf8.Valid(data) {
		return s, fmt.Errorf("%w: not UTF-8", ErrMalformed)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return s, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	var schema int
	if json.Unmarshal(raw["schema"], &schema) != nil || schema != jsonout.Schema {
		return s, fmt.Errorf("%w: its schema is not %d", ErrMalformed, jsonout.Schema)
	}
	delete(raw, "schema")
	return s, s.take(raw)
}

// take moves the known keys into their fields; what is left is unknown.
func (s *State) take(raw map[string]json.RawMessage) error {
	var bad []string
	for _, f := range s.fields() {
		if value, there := raw[f.key]; there && !f.load(value) {
			bad = append(bad, f.key)
		}
		delete(raw, f.key)
	}
	if s.Failures < 0 {
		s.Failures = 0
	}
	if len(raw) > 0 {
		s.unknown = raw
	}
	if len(bad) > 0 {
		return fmt.Errorf("%w: a value of the wrong type belongs to %q", ErrMalformed, bad)
	}
	return nil
}

// Write replaces the file, mode 0600, and flushes it to the disk. A file that
// Read could not understand is set aside as PATH.bad first. Who writes what he
// read before must hold a lock in between: Change does.
func Write(path string, s State) error {
	data, err := s.encode()
	if err != nil {
		return err
	}
	if _, err := Read(path); errors.Is(err, ErrMalformed) {
		if err := atomicfile.Rename(path, path+".bad"); err != nil {
			return exitcode.File(exitcode.CantCreat, fmt.Errorf("set a damaged state aside: %w", err))
		}
	}
	if err := atomicfile.WriteSync(path, data, 0o600); err != nil {
		return exitcode.File(exitcode.CantCreat, err)
	}
	return nil
}

// encode drops the cached answers of a state that is too large, since they can
// be had again.
func (s State) encode() ([]byte, error) {
	data, err := s.line()
	if err == nil && len(data) > MaxSize {
		s.Indexes = nil
		data, err = s.line()
	}
	if err == nil && len(data) > MaxSize {
		err = exitcode.Errorf(exitcode.Software, "the update state has %d bytes, and %d are allowed", len(data), MaxSize)
	}
	return data, err
}

func (s State) line() ([]byte, error) {
	all := maps.Clone(s.unknown)
	if all == nil {
		all = map[string]json.RawMessage{}
	}
	for _, f := range s.fields() {
		data, err := json.Marshal(f.at)
		if err != nil {
			return nil, exitcode.Errorf(exitcode.Software, "encode the update state's %q: %w", f.key, err)
		}
		_, raw := f.at.(*json.RawMessage)
		if value := string(data); value != "null" && (raw || !isEmpty(value)) {
			all[f.key] = data
		}
	}
	return jsonout.Line(all)
}

// isEmpty: what is unknown is absent.
func isEmpty(value string) bool {
	return slices.Contains([]string{`""`, "0", "[]", "{}", `"0001-01-01T00:00:00Z"`}, value)
}

// Key is the URL of an index as the file has it: without user, password and
// query, which are nobody's business but the index's.
func Key(index string) string {
	u, err := url.Parse(index)
	if err != nil {
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// Answer returns what the index said the last time.
func (s *State) Answer(index string) (Answer, bool) {
	a, ok := s.Indexes[Key(index)]
	return a, ok
}

// Remember keeps an answer of an index; the oldest make room.
func (s *State) Remember(index string, a Answer) {
	all := maps.Clone(s.Indexes)
	if all == nil {
		all = map[string]Answer{}
	}
	all[Key(index)] = a
	for len(all) > maxIndexes {
		delete(all, oldest(all))
	}
	s.Indexes = all
}

func oldest(all map[string]Answer) (key string) {
	for k, a := range all {
		if key == "" || a.FetchedAt.Before(all[key].FetchedAt) {
			key = k
		}
	}
	return key
}

// Block keeps a version from being offered; IsBlocked asks. They compare
// strings: the caller has versions in their normal form.
func (s *State) Block(version string) {
	if !s.IsBlocked(version) {
		s.Blocked = append(slices.Clone(s.Blocked), version)
	}
}

// Unblock lets a version be offered again.
func (s *State) Unblock(version string) {
	s.Blocked = slices.DeleteFunc(slices.Clone(s.Blocked), func(v string) bool { return v == version })
}

// IsBlocked reports whether the version was gone back from.
func (s *State) IsBlocked(version string) bool { return slices.Contains(s.Blocked, version) }
