// cursor.go - a position in a log that moves, and following a log
//
// SPDX-License-Identifier: MIT

package walrus

/*
#include "bridge.h"
*/
import "C"

import (
	"context"
	"runtime"
	"sync"
)

// Cursor stands between two entries. Where the log is truncated below it, it goes back to the cut. Over a log that was
// opened with ReadOnly it follows a writer in another process. Its methods may be called by one goroutine after the other;
// those that come at once wait for each other.
type Cursor struct {
	log    *Log
	mu     sync.Mutex // C wants one thread at a time
	handle *C.walrus_cursor_t
}

// Cursor opens a cursor before the entry at index; 0 is the first entry.
func (l *Log) Cursor(index uint64) (*Cursor, error) { return l.openCursor(index, 0) }

// DurableCursor is a Cursor that shows only entries that are durable.
func (l *Log) DurableCursor(index uint64) (*Cursor, error) {
	return l.openCursor(index, C.WALRUS_DURABLE_ONLY)
}

func (l *Log) openCursor(index uint64, flags C.uint32_t) (*Cursor, error) {
	cursor := &Cursor{log: l}
	err := l.call(func() C.int32_t { return C.walrus_cursor_open(l.handle, C.uint64_t(index), flags, &cursor.handle) })
	if err != nil {
		return nil, err
	}
	runtime.SetFinalizer(cursor, (*Cursor).Close)
	return cursor, nil
}

func (c *Cursor) call(function func() C.int32_t) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.handle == nil {
		return newError(ErrClosed, "this cursor is closed: open another one with Log.Cursor")
	}
	return c.log.call(function)
}

func (c *Cursor) read(function func(entry *C.walrus_entry_t) C.int32_t) (Entry, error) {
	var entry C.walrus_entry_t
	if err := c.call(func() C.int32_t { return function(&entry) }); err != nil {
		return Entry{}, err
	}
	defer C.walrus_entry_release(&entry)
	read := lentEntry(&entry)
	read.Data = append([]byte{}, read.Data...)
	return read, nil
}

// Next reads the entry behind the cursor and steps over it. ErrCaughtUp: there is none yet. ErrCompacted: it was truncated
// away at the front; go on with Seek(0). After an error the cursor stays.
func (c *Cursor) Next() (Entry, error) {
	return c.read(func(entry *C.walrus_entry_t) C.int32_t { return C.walrus_cursor_next(c.handle, entry) })
}

// Prev reads the entry before the cursor and steps back over it. ErrNotFound: the cursor is before the first one.
func (c *Cursor) Prev() (Entry, error) {
	return c.read(func(entry *C.walrus_entry_t) C.int32_t { return C.walrus_cursor_prev(c.handle, entry) })
}

// Seek moves the cursor before the entry at index; 0 is the first entry.
func (c *Cursor) Seek(index uint64) error {
	return c.call(func() C.int32_t { return C.walrus_cursor_seek(c.handle, C.uint64_t(index)) })
}

// Position is the index that Next would read: where to go on after a restart. It is 0 when the cursor or the log is closed.
func (c *Cursor) Position() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.number(func() C.uint64_t { return C.walrus_cursor_position(c.handle) })
}

// Wait waits until Next has something else to say than ErrCaughtUp, or ctx is done. The cursor can be closed meanwhile.
func (c *Cursor) Wait(ctx context.Context) error {
	return c.log.wait(ctx, func(timeout C.int64_t) error {
		if timeout < 0 {
			timeout = C.int64_t(slice.Milliseconds()) // for ever would keep Close out for ever
		}
		return c.call(func() C.int32_t { return C.walrus_cursor_wait(c.handle, timeout) })
	})
}

// Follow is Next, but waits where that answers ErrCaughtUp, until ctx is done.
func (c *Cursor) Follow(ctx context.Context) (Entry, error) {
	for {
		entry, err := c.Next()
		if !isCode(err, ErrCaughtUp) {
			return entry, err
		}
		if err := c.Wait(ctx); err != nil {
			return Entry{}, err
		}
	}
}

// Close ends the use of the cursor. It may come after Close of the log, and more than once.
func (c *Cursor) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.handle == nil {
		return
	}
	runtime.SetFinalizer(c, nil)
	c.log.freeing.Lock() // not while another goroutine closes the log
	defer c.log.freeing.Unlock()
	C.walrus_cursor_close(c.handle)
	c.handle = nil
}
