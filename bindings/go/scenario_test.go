// scenario_test.go - runs Tests/scenarios through this binding; README.md there defines the lines
//
// A library that lacks a function does not link here, so `needs` is always fulfilled.
//
// SPDX-License-Identifier: MIT

package walrus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const scenarios = "../../Tests/scenarios"

// mismatch is panicked with: a line that cannot be read, or a result that nothing stands for.
type mismatch string

func fail(format string, arguments ...any) { panic(mismatch(fmt.Sprintf(format, arguments...))) }

func parseNumber(token string) uint64 {
	if token == "max" {
		return math.MaxUint64
	}
	number, err := strconv.ParseUint(token, 10, 64)
	if err != nil {
		fail("%q is not a number", token)
	}
	return number
}

func parseSigned(token string) int64 {
	number, err := strconv.ParseInt(token, 10, 64)
	if err != nil {
		fail("%q is not a signed number", token)
	}
	return number
}

func parseBytes(token string) []byte {
	times := 1
	if once, count, found := strings.Cut(token, "*"); found {
		token, times = once, int(parseNumber(count))
	} else if token == "-" {
		token = ""
	}
	var once []byte
	for i := 0; i < len(token); i++ {
		if token[i] != '%' {
			once = append(once, token[i])
			continue
		}
		value, err := strconv.ParseUint(token[i+1:i+3], 16, 8)
		if err != nil {
			fail("%q is not a hex number", token[i+1:i+3])
		}
		once = append(once, byte(value))
		i += 2
	}
	return bytes.Repeat(once, times)
}

func parseRecord(token string) Entry {
	fields := strings.Split(token, ",")
	entry := Entry{Data: parseBytes(fields[0])}
	if len(fields) > 1 {
		entry.Term = parseNumber(fields[1])
	}
	if len(fields) > 2 {
		entry.Index = parseNumber(fields[2])
	}
	if len(fields) > 3 {
		entry.Timestamp = time.Unix(0, parseSigned(fields[3]))
	}
	return entry
}

func parseRecords(tokens []string) []Entry {
	var entries []Entry
	for _, token := range tokens {
		entries = append(entries, parseRecord(token))
	}
	return entries
}

func parseDurability(token string) Durability {
	durability, ok := map[string]Durability{"default": Default, "durable": Durable, "os": ToOS, "buffered": Buffered}[token]
	if !ok {
		fail("%q is no flag", token)
	}
	return durability
}

// timeout is a context that is done after so many milliseconds.
func timeout(token string) context.Context {
	if token == "-1" {
		return context.Background()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(parseNumber(token))*time.Millisecond)
	_ = cancel // its time is short enough
	return ctx
}

// scenario is what one file works with.
type scenario struct {
	dir     string
	handle  string // of the line
	logs    map[string]*Log
	cursors map[string]*Cursor
	txns    map[string]*Txn
	pending []*Pending
	message string // of the last operation that failed
}

func (s *scenario) log() *Log { return lookup(s.logs, s.handle) }

func lookup[T any](table map[string]T, name string) T {
	found, ok := table[name]
	if !ok {
		fail("there is nothing open called %s", name)
	}
	return found
}

func keep[T any](table map[string]T, name string, value T, err error) error {
	if _, ok := table[name]; ok {
		fail("there is one called %s already", name)
	}
	if err == nil {
		table[name] = value
	}
	return err
}

// A result is a uint64, an int64, []byte, a word (string) or a MetaPair.
type results []any

func one(result any, err error) (results, error) { return results{result}, err }
func none(err error) (results, error)            { return nil, err }

func checkedBytes(entry Entry) []byte {
	if CRC32(entry.Data) != entry.Checksum {
		fail("the checksum of entry %d is not that of its bytes", entry.Index)
	}
	return append([]byte{}, entry.Data...)
}

func checkedEntries(entries []Entry, first uint64) (all results) {
	for i, entry := range entries {
		if entry.Index != first+uint64(i) {
			fail("entry %d says that its index is %d", first+uint64(i), entry.Index)
		}
		all = append(all, checkedBytes(entry))
	}
	return all
}

var operations = map[string]func(s *scenario, a []string) (results, error){
	"needs": func(*scenario, []string) (results, error) { return nil, nil },

	"version": func(*scenario, []string) (results, error) {
		number := VersionNumber()
		if text := fmt.Sprintf("%d.%d.%d", number/10000, number/100%100, number%100); text != Version() {
			fail("Version is %s, VersionNumber %s", Version(), text)
		}
		return one(uint64(ABIVersion()), nil)
	},
	"strerror": func(_ *scenario, a []string) (results, error) {
		name, _, _ := strings.Cut(Code(parseSigned(a[0])).Error(), ":")
		return one([]byte(name), nil)
	},
	"crc32": func(_ *scenario, a []string) (results, error) { return one(uint64(CRC32(parseBytes(a[0]))), nil) },
	"message": func(s *scenario, a []string) (results, error) {
		if !strings.Contains(s.message, string(parseBytes(a[0]))) {
			fail("the message does not contain %q: %s", a[0], s.message)
		}
		return nil, nil
	},
	"option": func(_ *scenario, a []string) (results, error) { return option(a[0], string(parseBytes(a[1]))) },
	"option_u64": func(_ *scenario, a []string) (results, error) {
		// Config writes numbers as text, a mode in octal; there is no other way to set one.
		if a[0] == "file_mode" {
			return option(a[0], fmt.Sprintf("0%o", parseNumber(a[1])))
		}
		return option(a[0], a[1])
	},
	"option_default": func(_ *scenario, a []string) (results, error) {
		for _, option := range Options() {
			if option.Key == a[0] {
				return one([]byte(option.Default), nil)
			}
		}
		return nil, fmt.Errorf("there is no option %s", a[0])
	},

	"open": func(s *scenario, a []string) (results, error) {
		config := Config{Options: map[string]string{}}
		for _, token := range a {
			key, value, _ := strings.Cut(token, "=")
			config.Options[key] = string(parseBytes(value))
		}
		log, err := Open(s.dir, &config)
		return none(keep(s.logs, s.handle, log, err))
	},
	"close": func(s *scenario, _ []string) (results, error) {
		log := s.log()
		delete(s.logs, s.handle)
		return none(log.Close())
	},
	"shutdown": func(s *scenario, _ []string) (results, error) { return none(s.log().Shutdown()) },
	"destroy":  func(s *scenario, _ []string) (results, error) { return none(Destroy(s.dir)) },
	"recovery": func(s *scenario, _ []string) (results, error) {
		report, err := s.log().RecoveryReport()
		return results{report.Reason.String(), report.EntriesCut}, err
	},
	"bounds": func(s *scenario, _ []string) (results, error) {
		return results{s.log().FirstIndex(), s.log().LastIndex(), s.log().NextIndex()}, nil
	},

	"append": func(s *scenario, a []string) (results, error) { return one(s.log().Append(parseBytes(a[0]))) },
	"record": func(s *scenario, a []string) (results, error) {
		return one(s.log().AppendEntry(parseRecord(a[1]), parseDurability(a[0])))
	},
	"batch": func(s *scenario, a []string) (results, error) {
		return one(s.log().AppendBatch(parseRecords(a[1:]), parseDurability(a[0])))
	},
	"packed": func(s *scenario, a []string) (results, error) {
		var data []byte
		var sizes []uint32
		for _, token := range a[2:] {
			data = append(data, parseBytes(token)...)
			sizes = append(sizes, uint32(len(parseBytes(token))))
		}
		return one(s.log().AppendPacked(data, sizes, parseNumber(a[1]), parseDurability(a[0])))
	},
	"async": func(s *scenario, a []string) (results, error) {
		pending, err := s.log().AppendAsync(parseRecord(a[0]))
		if err != nil {
			return nil, err
		}
		s.pending = append(s.pending, pending)
		return one(pending.Index(), nil)
	},
	"completions": func(s *scenario, _ []string) (all results, err error) {
		for _, pending := range s.pending {
			if err := pending.Wait(timeout("30000")); err != nil {
				return nil, err
			}
			all = append(all, pending.Index())
		}
		s.pending = nil
		return all, nil
	},

	"sync":      func(s *scenario, _ []string) (results, error) { return none(s.log().Sync()) },
	"durable":   func(s *scenario, _ []string) (results, error) { return one(s.log().DurableIndex(), nil) },
	"interrupt": func(s *scenario, _ []string) (results, error) { return none(s.log().Interrupt()) },
	"wait_durable": func(s *scenario, a []string) (results, error) {
		return none(s.log().WaitDurable(timeout(a[1]), parseNumber(a[0])))
	},
	"notify": func(s *scenario, a []string) (results, error) {
		fd, err := s.log().NotifyFD()
		for deadline := time.Now().Add(time.Duration(parseNumber(a[0])) * time.Millisecond); err == nil; time.Sleep(time.Millisecond) {
			var moved [8]byte
			if count, readErr := syscall.Read(fd, moved[:]); count == 8 {
				return one("readable", nil)
			} else if readErr != syscall.EAGAIN {
				fail("reading the descriptor: %d bytes, %v", count, readErr)
			}
			if time.Now().After(deadline) {
				return one("quiet", nil)
			}
		}
		return nil, err
	},

	"get": func(s *scenario, a []string) (results, error) {
		entry, err := s.log().Get(parseNumber(a[0]))
		if err == nil && entry.Index != parseNumber(a[0]) {
			fail("the entry says that its index is %d", entry.Index)
		}
		if err != nil {
			return nil, err
		}
		return results{checkedBytes(entry), entry.Term, entry.Timestamp.UnixNano()}, nil
	},
	"read": func(s *scenario, a []string) (results, error) {
		buffer := make([]byte, parseNumber(a[1]))
		size, err := s.log().Read(parseNumber(a[0]), buffer)
		return one(buffer[:size], err)
	},
	"scan": func(s *scenario, a []string) (all results, err error) {
		most, index := int(parseNumber(a[2])), parseNumber(a[0])
		err = s.log().Scan(index, parseNumber(a[1]), func(entry Entry) error {
			all = append(all, checkedEntries([]Entry{entry}, index)...)
			index++
			if len(all) == most {
				return Stop
			}
			return nil
		})
		return all, err
	},
	"range": func(s *scenario, a []string) (results, error) {
		entries, err := s.log().GetRangeLimited(
			parseNumber(a[0]), parseNumber(a[1]), parseNumber(a[2]), int(parseNumber(a[3])))
		return checkedEntries(entries, parseNumber(a[0])), err
	},
	"read_packed": func(s *scenario, a []string) (all results, err error) {
		count := parseNumber(a[1])
		if count > 128 {
			count = 128
		}
		buffer, sizes := make([]byte, parseNumber(a[2])), make([]uint32, count)
		read, err := s.log().ReadPacked(parseNumber(a[0]), buffer, sizes)
		for _, size := range sizes[:read] {
			all = append(all, buffer[:size])
			buffer = buffer[size:]
		}
		return all, err
	},
	"term":               func(s *scenario, a []string) (results, error) { return one(s.log().Term(parseNumber(a[0]))) },
	"last_index_of_term": func(s *scenario, a []string) (results, error) { return one(s.log().LastIndexOfTerm(parseNumber(a[0]))) },
	"seek_time": func(s *scenario, a []string) (results, error) {
		return one(s.log().SeekTime(time.Unix(0, parseSigned(a[0]))))
	},

	"truncate":       func(s *scenario, a []string) (results, error) { return none(s.log().Truncate(parseNumber(a[0]))) },
	"truncate_front": func(s *scenario, a []string) (results, error) { return none(s.log().TruncateFront(parseNumber(a[0]))) },
	"reset":          func(s *scenario, a []string) (results, error) { return none(s.log().Reset(parseNumber(a[0]))) },
	"replace_suffix": func(s *scenario, a []string) (results, error) {
		// It is durable whatever the flags say, so the binding has none.
		return none(s.log().ReplaceSuffix(parseNumber(a[0]), parseRecords(a[2:])))
	},

	"cursor_open": func(s *scenario, a []string) (results, error) {
		open := s.log().Cursor
		if a[2] == "durable" {
			open = s.log().DurableCursor
		}
		cursor, err := open(parseNumber(a[1]))
		return none(keep(s.cursors, a[0], cursor, err))
	},
	"cursor_next": func(s *scenario, a []string) (results, error) { return indexAndBytes(lookup(s.cursors, a[0]).Next()) },
	"cursor_prev": func(s *scenario, a []string) (results, error) { return indexAndBytes(lookup(s.cursors, a[0]).Prev()) },
	"cursor_seek": func(s *scenario, a []string) (results, error) {
		return none(lookup(s.cursors, a[0]).Seek(parseNumber(a[1])))
	},
	"cursor_position": func(s *scenario, a []string) (results, error) { return one(lookup(s.cursors, a[0]).Position(), nil) },
	"cursor_wait": func(s *scenario, a []string) (results, error) {
		return none(lookup(s.cursors, a[0]).Wait(timeout(a[1])))
	},
	"cursor_close": func(s *scenario, a []string) (results, error) {
		lookup(s.cursors, a[0]).Close()
		delete(s.cursors, a[0])
		return nil, nil
	},

	"txn_begin": func(s *scenario, a []string) (results, error) {
		txn, err := s.log().Begin(time.Duration(parseSigned(a[1])) * time.Millisecond)
		return none(keep(s.txns, a[0], txn, err))
	},
	"txn_append": func(s *scenario, a []string) (results, error) {
		return none(lookup(s.txns, a[0]).Append(parseRecord(a[1])))
	},
	"txn_commit": func(s *scenario, a []string) (results, error) {
		first, count, err := lookup(s.txns, a[0]).Commit(parseDurability(a[1]))
		if err == nil {
			delete(s.txns, a[0])
		}
		return results{first, count}, err
	},
	"txn_rollback": func(s *scenario, a []string) (results, error) {
		txn := lookup(s.txns, a[0])
		delete(s.txns, a[0])
		return none(txn.Rollback())
	},
	"txn_state": func(s *scenario, a []string) (results, error) {
		state, err := lookup(s.txns, a[0]).State()
		return one([...]string{"", "open", "expired", "committed"}[state], err)
	},
	"txn_count":  func(s *scenario, _ []string) (results, error) { return one(s.log().TxnCount(), nil) },
	"txn_expire": func(s *scenario, _ []string) (results, error) { return one(s.log().TxnExpire()) },

	"meta_set": func(s *scenario, a []string) (results, error) {
		return none(s.log().MetaSet(string(parseBytes(a[0])), parseBytes(a[1])))
	},
	"meta_stage": func(s *scenario, a []string) (results, error) {
		return none(s.log().MetaStage(string(parseBytes(a[0])), parseBytes(a[1])))
	},
	"meta_delete": func(s *scenario, a []string) (results, error) {
		return none(s.log().MetaDelete(string(parseBytes(a[0]))))
	},
	"meta_get": func(s *scenario, a []string) (results, error) {
		value, err := s.log().MetaGet(string(parseBytes(a[0])))
		if err == nil && uint64(len(value)) > parseNumber(a[1]) { // the binding has no buffer of the caller's here
			return nil, &Error{Code: ErrTooSmall, Size: uint64(len(value))}
		}
		return one(value, err)
	},
	"meta_list": func(s *scenario, _ []string) (all results, err error) {
		list, err := s.log().Meta()
		for _, pair := range list {
			all = append(all, pair)
		}
		return all, err
	},

	"rotate": func(s *scenario, _ []string) (results, error) { return none(s.log().Rotate()) },
	"segments": func(s *scenario, _ []string) (all results, err error) {
		list, err := s.log().Segments()
		for _, segment := range list {
			all = append(all, fmt.Sprintf("%d:%d", segment.FirstIndex, segment.LastIndex))
		}
		return all, err
	},
	"stats": func(s *scenario, a []string) (results, error) {
		stats, err := s.log().Stats()
		field := reflect.ValueOf(stats).FieldByNameFunc(func(name string) bool {
			return strings.EqualFold(name, strings.ReplaceAll(a[0], "_", ""))
		})
		if field.Kind() == reflect.Bool {
			return one(map[bool]uint64{true: 1}[field.Bool()], err)
		}
		return one(field.Uint(), err)
	},
	"stats_text": func(s *scenario, a []string) (results, error) {
		text, err := s.log().StatsText()
		for _, line := range strings.Split(text, "\n") {
			if number := strings.TrimPrefix(line, a[0]+" "); number != line {
				return one(parseNumber(number), err)
			}
		}
		return nil, err
	},

	"file": func(s *scenario, a []string) (results, error) {
		_ = os.Mkdir(s.dir, 0o755)
		return none(os.WriteFile(filepath.Join(s.dir, a[0]), parseBytes(a[1]), 0o644))
	},
	"crash":  func(s *scenario, _ []string) (results, error) { return none(s.crash()) },
	"damage": func(s *scenario, a []string) (results, error) { return none(s.damage(parseBytes(a[0]))) },
	"sleep": func(_ *scenario, a []string) (results, error) {
		time.Sleep(time.Duration(parseNumber(a[0])) * time.Millisecond)
		return nil, nil
	},
}

func option(key, value string) (results, error) {
	text, err := CheckOption(key, value)
	return one([]byte(text), err)
}

func indexAndBytes(entry Entry, err error) (results, error) {
	if err != nil {
		return nil, err
	}
	return results{entry.Index, checkedBytes(entry)}, nil
}

func (s *scenario) crash() error {
	files, err := os.ReadDir(s.dir)
	contents := map[string][]byte{}
	for _, file := range files {
		if contents[file.Name()], err = os.ReadFile(filepath.Join(s.dir, file.Name())); err != nil {
			return err
		}
	}
	log := s.log()
	delete(s.logs, s.handle)
	if err := log.Close(); err != nil {
		return err
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return err
	}
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		return err
	}
	for name, content := range contents {
		if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (s *scenario) damage(content []byte) error {
	names, err := filepath.Glob(filepath.Join(s.dir, "*.wal"))
	found := 0
	for _, name := range names {
		file, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if count := bytes.Count(file, content); count > 0 {
			found += count
			file[bytes.Index(file, content)] ^= 1
			if err := os.WriteFile(name, file, 0o644); err != nil {
				return err
			}
		}
	}
	if found != 1 {
		fail("these bytes are in the segments %d times, not once", found)
	}
	return err
}

// ---- Lines

func agrees(expected string, came any) bool {
	if expected == "*" {
		return true
	}
	switch value := came.(type) {
	case uint64:
		return parseNumber(expected) == value
	case int64:
		return parseSigned(expected) == value
	case []byte:
		return bytes.Equal(parseBytes(expected), value)
	case MetaPair:
		key, data, _ := strings.Cut(expected, ",")
		return string(parseBytes(key)) == value.Key && bytes.Equal(parseBytes(data), value.Value)
	default:
		return expected == value
	}
}

// outcome is what an operation came to, as the results that a line may expect.
func (s *scenario) outcome(operation func(*scenario, []string) (results, error), arguments []string) results {
	all, err := operation(s, arguments)
	if err == nil {
		return all
	}
	s.message = err.Error()
	var details *Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return results{"error", "TIMEOUT"}
	case errors.As(err, &details):
		name, _, _ := strings.Cut(details.Code.Error(), ":")
		if details.Code == ErrTooSmall {
			return results{"error", strings.TrimPrefix(name, "WALRUS_E_"), details.Size}
		}
		return results{"error", strings.TrimPrefix(name, "WALRUS_E_")}
	default:
		return results{"error", err.Error()}
	}
}

func (s *scenario) runLine(line string) {
	before, after, expects := strings.Cut(line+" ", " -> ")
	tokens, expected := strings.Fields(before), strings.Fields(after)
	s.handle = "main"
	if tokens[0][0] == '@' {
		s.handle, tokens = tokens[0][1:], tokens[1:]
	}
	operation := operations[tokens[0]]
	if operation == nil {
		fail("there is no operation %s", tokens[0])
	}
	came := s.outcome(operation, tokens[1:])
	if !expects {
		if len(came) > 0 && came[0] == "error" {
			fail("success was expected, and %v came: %s", came, s.message)
		}
		return
	}
	if len(expected) == 2 && expected[0] == "error" && len(came) == 3 {
		came = came[:2] // the size that is needed is not looked at
	}
	same := len(expected) == len(came)
	for i := 0; same && i < len(came); i++ {
		same = agrees(expected[i], came[i])
	}
	if !same {
		fail("%v was expected, and %.300s came", expected, fmt.Sprint(came...))
	}
}

func (s *scenario) run(t *testing.T, name string) {
	text, err := os.ReadFile(filepath.Join(scenarios, name))
	if err != nil {
		t.Fatal(err)
	}
	number := 0
	defer s.closeAll(t)
	defer func() {
		switch problem := recover().(type) {
		case nil:
		case mismatch:
			t.Errorf("%s:%d: %s", name, number, problem)
		default:
			panic(problem)
		}
	}()
	for _, line := range strings.Split(string(text), "\n") {
		number++
		if line != "" && line[0] != '#' {
			s.runLine(line)
		}
	}
}

func (s *scenario) closeAll(t *testing.T) {
	for _, cursor := range s.cursors {
		cursor.Close()
	}
	for _, txn := range s.txns {
		_ = txn.Rollback()
	}
	for _, log := range s.logs {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestScenarios(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(scenarios, "*.scenario"))
	if err != nil || len(names) == 0 {
		t.Fatalf("there are no scenarios in %s: %v", scenarios, err)
	}
	for _, name := range names {
		name := filepath.Base(name)
		t.Run(strings.TrimSuffix(name, ".scenario"), func(t *testing.T) {
			s := &scenario{
				dir:     filepath.Join(t.TempDir(), "log"),
				logs:    map[string]*Log{},
				cursors: map[string]*Cursor{},
				txns:    map[string]*Txn{},
			}
			s.run(t, name)
		})
	}
}
