// append.go - entries go in
//
// SPDX-License-Identifier: MIT

package walrus

/*
#include "bridge.h"
*/
import "C"

import (
	"context"
	"runtime/cgo"
	"time"
)

// Durability replaces the log's Sync for one call.
type Durability uint32

const (
	Default  Durability = 0
	Durable  Durability = C.WALRUS_DURABLE  // on stable storage, with all entries before it, on return
	ToOS     Durability = C.WALRUS_TO_OS    // handed to the system on return
	Buffered Durability = C.WALRUS_BUFFERED // in memory on return
)

// Entry is what is appended and what is read.
type Entry struct {
	// Index is where it is. To append: 0 for the next one; otherwise it has to be the next one, or, in a log that never
	// held an entry, any from 1 to 2^63.
	Index     uint64
	Term      uint64    // the caller's epoch, stored as given
	Timestamp time.Time // to append: the zero Time (or 1970-01-01 00:00 UTC) stands for now
	Data      []byte
	Checksum  uint32 // CRC-32 of Data; not looked at by appends
}

func fromNanoseconds(timestamp C.int64_t) time.Time { return time.Unix(0, int64(timestamp)) }

func toNanoseconds(at time.Time) (C.int64_t, error) {
	if at.IsZero() {
		return 0, nil
	}
	timestamp := at.UnixNano()
	if !time.Unix(0, timestamp).Equal(at) {
		return 0, newError(ErrInvalid, "the time %v is not between 1677 and 2262", at)
	}
	return C.int64_t(timestamp), nil
}

func (e *Entry) record() (C.bridge_record_t, error) {
	timestamp, err := toNanoseconds(e.Timestamp)
	return C.bridge_record_t{
		size:         C.size_t(len(e.Data)),
		index:        C.uint64_t(e.Index),
		term:         C.uint64_t(e.Term),
		timestamp_ns: timestamp,
	}, err
}

// Append appends data as the next entry, with the term of the entry before it and the time now, and returns its index.
//
// With ErrIO, ErrPoisoned and ErrClosed it may be in the log, which the next Open shows; with ErrCanceled it is, and the
// index is returned as well. With any other error it certainly is not.
func (l *Log) Append(data []byte) (uint64, error) {
	var index C.uint64_t
	err := l.call(func() C.int32_t { return C.bridge_append(l.handle, start(data), C.size_t(len(data)), &index) })
	return uint64(index), err
}

// AppendEntry appends an entry with its own term and time, and checks its index if it has one.
func (l *Log) AppendEntry(entry Entry, durability Durability) (uint64, error) {
	record, err := entry.record()
	if err != nil {
		return 0, err
	}
	var index C.uint64_t
	err = l.call(func() C.int32_t {
		return C.bridge_append_record(l.handle, start(entry.Data), record, C.uint32_t(durability), &index)
	})
	return uint64(index), err
}

// packed are the entries' bytes, one behind the other, and what else they are.
func packed(entries []Entry) (data []byte, records []C.bridge_record_t, err error) {
	total := 0
	for i := range entries {
		total += len(entries[i].Data)
	}
	data = make([]byte, 0, total)
	records = make([]C.bridge_record_t, len(entries)+1) // one more, so that the first always has an address
	for i := range entries {
		if records[i], err = entries[i].record(); err != nil {
			return nil, nil, err
		}
		data = append(data, entries[i].Data...)
	}
	return data, records, nil
}

// AppendBatch appends entries as one: after any crash all of them are there or none. It returns the index of the first.
func (l *Log) AppendBatch(entries []Entry, durability Durability) (uint64, error) {
	data, records, err := packed(entries)
	if err != nil {
		return 0, err
	}
	var first C.uint64_t
	err = l.call(func() C.int32_t {
		return C.bridge_append_batch(
			l.handle, start(data), &records[0], C.size_t(len(entries)), C.uint32_t(durability), &first)
	})
	return uint64(first), err
}

// AppendPacked appends a batch that is given as one run of bytes and the sizes of its entries, which have to add up to it.
// All get the term and the time now.
func (l *Log) AppendPacked(data []byte, sizes []uint32, term uint64, durability Durability) (uint64, error) {
	total := uint64(0)
	for _, size := range sizes {
		total += uint64(size)
	}
	if total != uint64(len(data)) {
		return 0, newError(ErrInvalid, "the sizes add up to %d bytes, and there are %d", total, len(data))
	}
	var first C.uint64_t
	err := l.call(func() C.int32_t {
		return C.bridge_append_packed(l.handle, start(data), startOfSizes(sizes), C.size_t(len(sizes)),
			C.uint64_t(term), C.uint32_t(durability), &first)
	})
	return uint64(first), err
}

// Pending is an append that is not durable yet.
type Pending struct {
	index uint64
	done  chan struct{}
	err   error // written before done is closed
}

// Index is the entry's.
func (p *Pending) Index() uint64 { return p.index }

// Done is closed when the entry is durable, or it is known that it will not be: look at Err.
func (p *Pending) Done() <-chan struct{} { return p.done }

// Err is nil until Done is closed, and then says whether the entry is durable.
func (p *Pending) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Wait waits until the entry is durable, or ctx is done.
func (p *Pending) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// AppendAsync appends an entry, and does not wait for it to become durable: many of them share a sync. They become so in
// the order of their indexes. It waits only where async_max_bytes are outstanding.
func (l *Log) AppendAsync(entry Entry) (*Pending, error) {
	record, err := entry.record()
	if err != nil {
		return nil, err
	}
	pending := &Pending{done: make(chan struct{})}
	handle := cgo.NewHandle(pending)
	var index C.uint64_t
	err = l.call(func() C.int32_t {
		return C.bridge_append_async(l.handle, start(entry.Data), record, C.uintptr_t(handle), &index)
	})
	if err != nil {
		handle.Delete() // it was not accepted, so nothing will be told
		return nil, err
	}
	pending.index = uint64(index)
	return pending, nil
}

// ---- Durability

// Sync returns once every entry that was appended before, and all staged metadata, is on stable storage.
func (l *Log) Sync() error {
	return l.call(func() C.int32_t { return C.walrus_sync(l.handle) })
}

// DurableIndex is the highest index known to be on stable storage; 0 if there is none, or the log is closed.
func (l *Log) DurableIndex() uint64 {
	return l.number(func() C.uint64_t { return C.walrus_durable_index(l.handle) })
}

// WaitDurable waits until the entry at index is durable, and asks for that where nobody else has. A ctx that is done asks
// for nothing, and tells at once.
func (l *Log) WaitDurable(ctx context.Context, index uint64) error {
	return l.wait(ctx, func(timeout C.int64_t) error {
		return l.call(func() C.int32_t { return C.walrus_wait_durable(l.handle, C.uint64_t(index), timeout) })
	})
}

// NotifyFD is a descriptor that becomes readable when the durable index has moved (of a read-only log: the last index).
// It belongs to the log. Reading 8 bytes clears it.
func (l *Log) NotifyFD() (int, error) {
	var fd C.int
	err := l.call(func() C.int32_t { return C.walrus_notify_fd(l.handle, &fd) })
	if err != nil {
		return -1, err
	}
	return int(fd), nil
}

// Interrupt ends every wait on the log that began before: they answer ErrCanceled. To end a single one, cancel its context.
func (l *Log) Interrupt() error {
	l.interrupts.Add(1)
	return l.call(func() C.int32_t { return C.walrus_interrupt(l.handle) })
}

// ---- Truncate

// Truncate drops every entry after index. Durable on return, as are the next three.
func (l *Log) Truncate(index uint64) error {
	return l.call(func() C.int32_t { return C.walrus_truncate(l.handle, C.uint64_t(index)) })
}

// TruncateFront drops every entry before index.
func (l *Log) TruncateFront(index uint64) error {
	return l.call(func() C.int32_t { return C.walrus_truncate_front(l.handle, C.uint64_t(index)) })
}

// Reset drops every entry; the next one gets nextIndex.
func (l *Log) Reset(nextIndex uint64) error {
	return l.call(func() C.int32_t { return C.walrus_reset(l.handle, C.uint64_t(nextIndex)) })
}

// ReplaceSuffix drops every entry from index from on and appends entries in their place, as one step: after a crash the log
// ends in all of the old ones or all of the new ones.
func (l *Log) ReplaceSuffix(from uint64, entries []Entry) error {
	data, records, err := packed(entries)
	if err != nil {
		return err
	}
	return l.call(func() C.int32_t {
		return C.bridge_replace_suffix(l.handle, C.uint64_t(from), start(data), &records[0], C.size_t(len(entries)))
	})
}
