// read.go - entries come out
//
// What is lent by C is copied here, and given back before a method returns. View and Scan lend it to a function, and have
// it back when that is over, also by a panic: the program's code never runs inside a call of C.
//
// SPDX-License-Identifier: MIT

package walrus

/*
#include "bridge.h"
*/
import "C"

import (
	"errors"
	"time"
	"unsafe"
)

// Stop is what the function of a Scan returns to end it; the Scan then returns nil.
var Stop = errors.New("walrus: stop the scan")

// FirstIndex is the lowest index in the log; 0 when it is empty or closed.
func (l *Log) FirstIndex() uint64 {
	return l.number(func() C.uint64_t { return C.walrus_first_index(l.handle) })
}

// LastIndex is the highest index in the log; 0 when it is empty or closed.
func (l *Log) LastIndex() uint64 {
	return l.number(func() C.uint64_t { return C.walrus_last_index(l.handle) })
}

// NextIndex is what the next entry will get; 0 when the log is closed.
func (l *Log) NextIndex() uint64 {
	return l.number(func() C.uint64_t { return C.walrus_next_index(l.handle) })
}

func copied(data unsafe.Pointer, size C.size_t) []byte {
	if size == 0 {
		return []byte{}
	}
	return append([]byte(nil), unsafe.Slice((*byte)(data), int(size))...)
}

// lentEntry has Data that lives until the entry is released.
func lentEntry(entry *C.walrus_entry_t) Entry {
	lent := Entry{
		Index:     uint64(entry.index),
		Term:      uint64(entry.term),
		Timestamp: fromNanoseconds(entry.timestamp_ns),
		Data:      []byte{},
		Checksum:  uint32(entry.checksum),
	}
	if entry.size > 0 {
		size := int(entry.size)
		lent.Data = unsafe.Slice((*byte)(entry.data), size)[:size:size] // appending to it copies
	}
	return lent
}

// Get reads one entry. Its Data is a copy.
func (l *Log) Get(index uint64) (Entry, error) {
	var entry Entry
	err := l.View(index, func(lent Entry) error {
		entry = lent
		entry.Data = append([]byte{}, lent.Data...)
		return nil
	})
	return entry, err
}

// View reads one entry without a copy: its Data is the mapped file itself. It must not be written to, and nothing may keep it
// when view returns. What view returns is returned.
func (l *Log) View(index uint64, view func(entry Entry) error) error {
	var entry C.walrus_entry_t
	if err := l.call(func() C.int32_t { return C.walrus_get(l.handle, C.uint64_t(index), &entry) }); err != nil {
		return err
	}
	defer C.walrus_entry_release(&entry)
	return view(lentEntry(&entry))
}

// Read copies one entry's bytes into buffer, and returns their number. ErrTooSmall tells in Error.Size what is needed.
func (l *Log) Read(index uint64, buffer []byte) (int, error) {
	var size C.size_t
	err := l.call(func() C.int32_t {
		return C.bridge_read(l.handle, C.uint64_t(index), start(buffer), C.size_t(len(buffer)), &size)
	})
	if err != nil {
		return 0, withSize(err, uint64(size))
	}
	return int(size), nil
}

func withSize(err error, size uint64) error {
	var details *Error
	if errors.As(err, &details) && details.Code == ErrTooSmall {
		details.Size = size
	}
	return err
}

const (
	pageEntries = 256
	pageBytes   = 1 << 20
)

// page hands out up to capacity entries, whose bytes live until it returns. It returns the index to go on at.
func (l *Log) page(first, last, bytes uint64, capacity int, visit func(Entry) error) (uint64, error) {
	entries := make([]C.walrus_entry_t, capacity+1)
	var count C.size_t
	err := l.call(func() C.int32_t {
		return C.walrus_get_range(l.handle, C.uint64_t(first), C.uint64_t(last), C.size_t(bytes),
			&entries[0], C.size_t(capacity), &count)
	})
	if err != nil {
		return first, err
	}
	defer C.walrus_entries_release(&entries[0], count)
	for i := range entries[:count] {
		if err := visit(lentEntry(&entries[i])); err != nil {
			return first, err
		}
		first++
	}
	return first, nil
}

// Scan hands each entry from first to last, in order, to visit; a last above the last index is clipped to what the log
// holds when the scan begins. An entry's Data lives until visit returns: copy what is kept. An error of visit ends the
// scan, and is returned, but for Stop. visit may do anything with the log, Close included.
func (l *Log) Scan(first, last uint64, visit func(entry Entry) error) error {
	if end := l.LastIndex(); last > end && first <= end {
		last = end
	}
	var ended error
	watched := func(entry Entry) error {
		ended = visit(entry)
		return ended
	}
	for capacity := pageEntries; ; {
		next, err := l.page(first, last, pageBytes, capacity, watched)
		switch {
		case ended != nil && errors.Is(ended, Stop):
			return nil
		case ended != nil:
			return ended
		case err != nil && capacity > 1:
			capacity = 1 // what lies before the entry that cannot be read is still handed out
			continue
		case err != nil:
			return err
		case next > last:
			return nil
		}
		first = next
	}
}

// GetRange reads the entries from first to last; a last above the last index is clipped.
func (l *Log) GetRange(first, last uint64) ([]Entry, error) {
	var all []Entry
	err := l.Scan(first, last, func(entry Entry) error {
		entry.Data = append([]byte{}, entry.Data...)
		all = append(all, entry)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// GetRangeLimited reads up to maxCount entries from first to last, and stops before their bytes would exceed maxBytes, but
// reads at least one.
func (l *Log) GetRangeLimited(first, last, maxBytes uint64, maxCount int) ([]Entry, error) {
	if maxCount < 1 {
		return nil, newError(ErrInvalid, "a range of %d entries cannot be read: ask for one at least", maxCount)
	}
	var all []Entry
	// Memory is taken for what there may be, not for what was asked.
	if end := l.LastIndex(); end >= first && uint64(maxCount) > end-first+1 {
		maxCount = int(end - first + 1)
	} else if end < first {
		maxCount = 1
	}
	_, err := l.page(first, last, maxBytes, maxCount, func(entry Entry) error {
		entry.Data = append([]byte{}, entry.Data...)
		all = append(all, entry)
		return nil
	})
	return all, err
}

// ReadPacked copies entries from first on into buffer, one behind the other, and their sizes into sizes; it returns how many.
// It stops where the next one does not fit. ErrTooSmall: not even the first one does, and Error.Size tells what it needs.
func (l *Log) ReadPacked(first uint64, buffer []byte, sizes []uint32) (int, error) {
	var count C.size_t
	err := l.call(func() C.int32_t {
		return C.bridge_read_packed(l.handle, C.uint64_t(first), C.size_t(len(sizes)), start(buffer),
			C.size_t(len(buffer)), startOfSizes(sizes), &count)
	})
	if err != nil {
		if isCode(err, ErrTooSmall) {
			err = withSize(err, uint64(sizes[0]))
		}
		return 0, err
	}
	return int(count), nil
}

// Term is the term of the entry at index.
func (l *Log) Term(index uint64) (uint64, error) {
	var term C.uint64_t
	err := l.call(func() C.int32_t { return C.walrus_term(l.handle, C.uint64_t(index), &term) })
	return uint64(term), err
}

// LastIndexOfTerm is the highest index whose entry has this term.
func (l *Log) LastIndexOfTerm(term uint64) (uint64, error) {
	var index C.uint64_t
	err := l.call(func() C.int32_t { return C.walrus_last_index_of_term(l.handle, C.uint64_t(term), &index) })
	return uint64(index), err
}

// SeekTime is the first index that holds an entry of this time or a later one, or one that comes after such an entry.
func (l *Log) SeekTime(at time.Time) (uint64, error) {
	timestamp, err := toNanoseconds(at)
	if err != nil {
		return 0, err
	}
	var index C.uint64_t
	err = l.call(func() C.int32_t { return C.walrus_seek_time(l.handle, timestamp, &index) })
	return uint64(index), err
}
