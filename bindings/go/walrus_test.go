// walrus_test.go - what is Go's own here: errors, contexts, goroutines, memory
//
// SPDX-License-Identifier: MIT

package walrus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// need ends the test unless err is nil.
func need(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wants ends the test unless err is of this code.
func wants(t *testing.T, err error, code Code) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Fatalf("%v was expected, and %v came", code, err)
	}
}

func openAt(t *testing.T, dir string, config *Config) *Log {
	t.Helper()
	log, err := Open(dir, config)
	need(t, err)
	t.Cleanup(func() { _ = log.Close() })
	return log
}

func openNew(t *testing.T, config *Config) *Log {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "log"), config)
}

// soon ends the test if what is behind done takes longer than any wait that was ended may.
func soon(t *testing.T, what string, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatalf("%s did not come back", what)
		return nil
	}
}

func TestAnErrorHasItsCodeItsDetailsAndTheSystemsErrno(t *testing.T) {
	log := openNew(t, nil)
	_, err := log.Get(7)
	wants(t, err, ErrNotFound)
	var details *Error
	if !errors.As(err, &details) || details.Index != 7 || details.Message == "" {
		t.Fatalf("the details are wrong: %+v", details)
	}
	if errors.Is(err, ErrCompacted) || errors.Is(err, fs.ErrNotExist) {
		t.Fatal("one code is taken for another")
	}
	_, err = Open(filepath.Join(t.TempDir(), "no", "such", "parent"), nil)
	wants(t, err, ErrIO)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the errno is lost: %v", err)
	}
	_, err = Open("nul\x00in it", nil)
	wants(t, err, ErrInvalid)
	wants(t, log.MetaSet("nul\x00", nil), ErrInvalid)
}

// The last failure belongs to the OS thread: goroutines that fail at once must not see each other's.
func TestEachGoroutineSeesItsOwnError(t *testing.T) {
	log := openNew(t, nil)
	var group sync.WaitGroup
	for i := uint64(1); i <= 16; i++ {
		group.Add(1)
		go func(index uint64) {
			defer group.Done()
			for n := 0; n < 500; n++ {
				var details *Error
				if _, err := log.Get(index); !errors.As(err, &details) || details.Index != index {
					t.Errorf("Get(%d) says %+v", index, details)
					return
				}
				runtime.Gosched()
			}
		}(i)
	}
	group.Wait()
}

func TestAConfigTakesEffect(t *testing.T) {
	log := openNew(t, &Config{Sync: SyncNone, MaxEntrySize: 4, SegmentSize: 4096})
	index, err := log.Append([]byte("four"))
	need(t, err)
	if log.DurableIndex() >= index {
		t.Fatal("SyncNone has no effect")
	}
	_, err = log.Append([]byte("five!"))
	wants(t, err, ErrTooLarge)
	_, err = Open(t.TempDir(), &Config{MustExist: true})
	wants(t, err, ErrNoLog)
	_, err = Open(t.TempDir(), &Config{Options: map[string]string{"segment_sise": "1"}})
	wants(t, err, ErrInvalid)
	_, err = Open(t.TempDir(), &Config{RetentionAge: -1})
	wants(t, err, ErrInvalid)
}

func TestTheLoggerIsTold(t *testing.T) {
	var mu sync.Mutex
	var messages []string
	dir := filepath.Join(t.TempDir(), "log")
	var opened atomic.Pointer[Log]
	log, err := Open(dir, &Config{LogLevel: LogDebug, Logger: func(_ LogLevel, message string) {
		mu.Lock()
		defer mu.Unlock()
		messages = append(messages, message)
		if log := opened.Load(); log != nil { // it must not use the log, and is told so
			if _, err := log.Append(nil); !errors.Is(err, ErrBusy) && !errors.Is(err, ErrClosed) {
				t.Errorf("an append inside the logger: %v", err)
			}
			if err := log.Close(); !errors.Is(err, ErrBusy) {
				t.Errorf("Close inside the logger: %v", err)
			}
			panic("is dropped")
		}
	}})
	need(t, err)
	opened.Store(log)
	_, err = log.Append([]byte("a"))
	need(t, err)
	need(t, log.Rotate())
	need(t, log.Close())
	mu.Lock()
	defer mu.Unlock()
	if len(messages) < 2 {
		t.Fatalf("these messages came: %q", messages)
	}
}

func TestAClosedLogNeverReachesC(t *testing.T) {
	log := openNew(t, nil)
	_, err := log.Append([]byte("a"))
	need(t, err)
	cursor, err := log.Cursor(0)
	need(t, err)
	txn, err := log.Begin(Forever)
	need(t, err)
	need(t, log.Close())
	wants(t, log.Close(), ErrClosed)
	_, err = log.Append([]byte("b"))
	wants(t, err, ErrClosed)
	_, err = log.Get(1)
	wants(t, err, ErrClosed)
	_, err = log.AppendAsync(Entry{})
	wants(t, err, ErrClosed)
	wants(t, log.Scan(1, 1, func(Entry) error { return nil }), ErrClosed)
	wants(t, log.WaitDurable(context.Background(), 1), ErrClosed)
	if log.NextIndex() != 0 || log.DurableIndex() != 0 || cursor.Position() != 0 {
		t.Fatal("a number of a closed log is not 0")
	}
	_, err = cursor.Next()
	wants(t, err, ErrClosed)
	wants(t, txn.Append(Entry{}), ErrClosed)
	need(t, txn.Rollback())
	need(t, txn.Rollback())
	cursor.Close()
	cursor.Close()
	wants(t, cursor.Seek(0), ErrClosed)
	wants(t, txn.Append(Entry{}), ErrTxnState)
}

// Close comes while everything is in use: calls end, none crashes, and what was acknowledged is there.
func TestCloseBesideEverything(t *testing.T) {
	for round := 0; round < 10; round++ {
		dir := filepath.Join(t.TempDir(), "log")
		log, err := Open(dir, &Config{Sync: SyncOS})
		need(t, err)
		var last atomic.Uint64
		var group sync.WaitGroup
		work := func(do func() error) {
			group.Add(1)
			go func() {
				defer group.Done()
				for {
					if err := do(); errors.Is(err, ErrClosed) {
						return
					} else if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrCaughtUp) {
						t.Error(err)
						return
					}
				}
			}()
		}
		for i := 0; i < 2; i++ {
			work(func() error {
				index, err := log.Append([]byte("entry"))
				for seen := last.Load(); err == nil && index > seen; seen = last.Load() {
					last.CompareAndSwap(seen, index)
				}
				return err
			})
		}
		work(func() error { _, err := log.Get(1); return err })
		work(func() error { _, err := log.AppendAsync(Entry{Data: []byte("later")}); return err })
		work(func() error { return log.WaitDurable(context.Background(), log.LastIndex()+1) })
		cursor, err := log.Cursor(0)
		need(t, err)
		work(func() error { _, err := cursor.Follow(context.Background()); return err })
		time.Sleep(10 * time.Millisecond)
		need(t, log.Close())
		group.Wait()
		cursor.Close()
		again := openAt(t, dir, nil)
		if again.LastIndex() < last.Load() {
			t.Fatalf("entry %d was acknowledged, and the log ends at %d", last.Load(), again.LastIndex())
		}
		need(t, again.Close())
	}
}

func TestACanceledContextEndsAWait(t *testing.T) {
	log := openNew(t, nil)
	cursor, err := log.Cursor(0)
	need(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { _, err := cursor.Follow(ctx); done <- err }()
	time.Sleep(20 * time.Millisecond)
	cancel()
	if err := soon(t, "Follow", done); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	if err := cursor.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	// A context that is done polls: what is there already is told.
	_, err = log.Append([]byte("a"))
	need(t, err)
	need(t, log.WaitDurable(ctx, 1))
	need(t, cursor.Wait(ctx))
}

func TestInterruptAndCloseEndWaits(t *testing.T) {
	log := openNew(t, nil)
	cursor, err := log.Cursor(0)
	need(t, err)
	canceled, closed := make(chan error, 1), make(chan error, 1)
	go func() { canceled <- cursor.Wait(context.Background()) }()
	time.Sleep(20 * time.Millisecond)
	need(t, log.Interrupt())
	wants(t, soon(t, "the wait after Interrupt", canceled), ErrCanceled)
	go func() { closed <- cursor.Wait(context.Background()) }()
	time.Sleep(20 * time.Millisecond)
	need(t, log.Close())
	wants(t, soon(t, "the wait after Close", closed), ErrClosed)
}

func TestManyAsyncAppendsShareSyncsAndAreDurableInOrder(t *testing.T) {
	log := openNew(t, nil)
	var all []*Pending
	for i := 0; i < 500; i++ {
		pending, err := log.AppendAsync(Entry{Data: []byte(fmt.Sprint(i))})
		need(t, err)
		all = append(all, pending)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	need(t, all[len(all)-1].Wait(ctx))
	for i, pending := range all {
		select {
		case <-pending.Done():
			need(t, pending.Err())
		default:
			t.Fatalf("entry %d is durable, and entry %d is not", len(all), i+1)
		}
	}
	if stats, err := log.Stats(); err != nil || stats.Syncs > 250 {
		t.Fatalf("%d syncs, %v", stats.Syncs, err)
	}
}

// What a scan hands out is visited outside of C: a panic, Goexit and Close have nothing below them.
func TestAVisitorMayDoAnything(t *testing.T) {
	log := openNew(t, nil)
	for i := 0; i < 600; i++ { // more than a page
		_, err := log.AppendEntry(Entry{Data: []byte(fmt.Sprint(i))}, Buffered)
		need(t, err)
	}
	func() {
		defer func() {
			if recover() != "mine" {
				t.Error("the panic is lost")
			}
		}()
		_ = log.Scan(1, 600, func(Entry) error { panic("mine") })
	}()
	mine := errors.New("mine")
	if err := log.Scan(1, 600, func(Entry) error { return mine }); err != mine {
		t.Fatal(err)
	}
	need(t, log.Scan(1, 600, func(Entry) error { return Stop }))
	seen := uint64(0)
	need(t, log.Scan(1, math.MaxUint64, func(entry Entry) error {
		seen++
		if string(entry.Data) != fmt.Sprint(seen-1) || entry.Index != seen {
			t.Fatalf("entry %d is %q", entry.Index, entry.Data)
		}
		_, err := log.AppendEntry(Entry{}, Buffered) // is behind the end of the scan
		return err
	}))
	if seen != 600 {
		t.Fatalf("%d entries were seen", seen)
	}
	err := log.Scan(1, math.MaxUint64, func(entry Entry) error {
		if entry.Index == 5 {
			need(t, log.Close())
		}
		return nil
	})
	wants(t, err, ErrClosed)
}

func TestViewLendsWhatGetCopies(t *testing.T) {
	log := openNew(t, nil)
	_, err := log.Append([]byte("hello"))
	need(t, err)
	need(t, log.View(1, func(entry Entry) error {
		if string(entry.Data) != "hello" || cap(entry.Data) != 5 {
			t.Errorf("the view is %q, %d", entry.Data, cap(entry.Data))
		}
		need(t, log.Close()) // it stays valid
		if string(entry.Data) != "hello" {
			t.Error("the view died with the log")
		}
		return nil
	}))
}

// Bytes that are part of something with pointers in it may be handed over like any others.
func TestBytesNextToPointers(t *testing.T) {
	type message struct {
		next *message
		body [8]byte
	}
	log := openNew(t, nil)
	m := &message{next: &message{}}
	copy(m.body[:], "in there")
	for _, do := range []func() error{
		func() error { _, err := log.Append(m.body[:]); return err },
		func() error { _, err := log.AppendEntry(Entry{Data: m.body[:]}, Default); return err },
		func() error { _, err := log.AppendPacked(m.body[:], []uint32{3, 5}, 0, Default); return err },
		func() error { return log.MetaSet("key", m.body[:]) },
		func() error { _, err := log.Read(1, m.body[:]); return err },
	} {
		need(t, do())
	}
	_, err := log.AppendPacked(m.body[:], []uint32{3, 4}, 0, Default)
	wants(t, err, ErrInvalid)
}

func TestTimes(t *testing.T) {
	log := openNew(t, nil)
	at := time.Date(2024, 2, 29, 12, 0, 0, 5, time.UTC)
	_, err := log.AppendEntry(Entry{Timestamp: at}, Default)
	need(t, err)
	entry, err := log.Get(1)
	need(t, err)
	if !entry.Timestamp.Equal(at) {
		t.Fatal(entry.Timestamp)
	}
	_, err = log.AppendEntry(Entry{Timestamp: time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)}, Default)
	wants(t, err, ErrInvalid)
}

func TestConvertKeepsEverythingButTheFormat(t *testing.T) {
	log := openNew(t, nil)
	_, err := log.AppendEntry(Entry{Data: []byte("hello"), Term: 3, Index: 5}, Default)
	need(t, err)
	need(t, log.MetaSet("key", []byte("value")))
	json := &Config{Options: map[string]string{"format": "json"}}
	target := filepath.Join(t.TempDir(), "json")
	need(t, Convert(log.dir, target, json))
	copy := openAt(t, target, json)
	entry, err := copy.Get(5)
	need(t, err)
	value, err := copy.MetaGet("key")
	need(t, err)
	if string(entry.Data) != "hello" || entry.Term != 3 || string(value) != "value" {
		t.Fatalf("the copy has %+v, %q", entry, value)
	}
	need(t, log.Close())
	_, err = Open(log.dir, json)
	wants(t, err, ErrFormat)
	wants(t, Convert(log.dir, log.dir, nil), ErrInvalid)
}

func TestWhatIsForgottenIsFreed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	func() {
		log, err := Open(dir, nil)
		need(t, err)
		_, err = log.Cursor(0)
		need(t, err)
		_, err = log.Begin(0)
		need(t, err)
	}()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		runtime.GC()
		log, err := Open(dir, nil)
		if err == nil {
			need(t, log.Close())
			return
		}
		wants(t, err, ErrLocked)
		if time.Now().After(deadline) {
			t.Fatal("the log is open for ever")
		}
	}
}

func TestCodesHaveNames(t *testing.T) {
	for code := Code(-1); code >= ErrInternal; code-- {
		if text := code.Error(); !strings.HasPrefix(text, "WALRUS_E_") {
			t.Errorf("code %d is %q", code, text)
		}
	}
}

func BenchmarkAppendBuffered(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "log")
	log, err := Open(dir, &Config{Sync: SyncNone})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = log.Close(); _ = os.RemoveAll(dir) }()
	data := make([]byte, 256)
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		if _, err := log.Append(data); err != nil {
			b.Fatal(err)
		}
	}
}
