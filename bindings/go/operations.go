// operations.go - segments and counts
//
// SPDX-License-Identifier: MIT

package walrus

/*
#include "bridge.h"
*/
import "C"

import (
	"runtime/cgo"
	"time"
	"unsafe"
)

// Rotate ends the last segment and begins a new one.
func (l *Log) Rotate() error {
	return l.call(func() C.int32_t { return C.walrus_rotate(l.handle) })
}

// Segment is one file of the log.
type Segment struct {
	ID               uint64
	FirstIndex       uint64
	LastIndex        uint64 // below FirstIndex if it has no entries
	Bytes            uint64 // of its frames
	FileBytes        uint64
	HighestTimestamp time.Time // no entry up to its end is later
	Name             string    // of the file in the log's directory
	IsTail           bool      // the last one, which may still grow
}

// Segments are the files of the log, oldest first.
func (l *Log) Segments() ([]Segment, error) {
	var list []Segment
	handle := cgo.NewHandle(&list)
	defer handle.Delete()
	err := l.call(func() C.int32_t { return C.bridge_segments(l.handle, C.uintptr_t(handle)) })
	return list, err
}

// Stats are counts since Open, but for the first six numbers and IsPoisoned, which are of now.
type Stats struct {
	FirstIndex, LastIndex, DurableIndex, Segments, AsyncPending, TxnOpen uint64
	IsPoisoned                                                           bool

	Appends, EntriesAppended, BytesAppended, BytesWritten uint64
	Syncs, EntriesSynced, LargestGroup                    uint64
	SyncTime, SyncTimeMax                                 time.Duration
	SyncHistogram                                         [24]uint64 // [i]: syncs of less than 2^i microseconds
	Rotations, Truncations, SegmentsRemoved               uint64
	SegmentCacheHits, SegmentCacheMisses                  uint64
	TxnCommitted, TxnRolledBack, TxnExpired               uint64
	MetaUpdates                                           uint64
	RecoveryTime                                          time.Duration
	RecoveryBytesCut, RecoveryEntriesCut                  uint64
}

// Stats counts. The numbers are read one by one, beside a log in use.
func (l *Log) Stats() (Stats, error) {
	var c C.walrus_stats_t
	c.struct_size = C.uint32_t(unsafe.Sizeof(c))
	if err := l.call(func() C.int32_t { return C.walrus_stats(l.handle, &c) }); err != nil {
		return Stats{}, err
	}
	stats := Stats{
		FirstIndex: uint64(c.first_index), LastIndex: uint64(c.last_index), DurableIndex: uint64(c.durable_index),
		Segments: uint64(c.segments), AsyncPending: uint64(c.async_pending), TxnOpen: uint64(c.txn_open),
		IsPoisoned: c.is_poisoned != 0,
		Appends:    uint64(c.appends), EntriesAppended: uint64(c.entries_appended),
		BytesAppended: uint64(c.bytes_appended), BytesWritten: uint64(c.bytes_written),
		Syncs: uint64(c.syncs), EntriesSynced: uint64(c.entries_synced), LargestGroup: uint64(c.largest_group),
		SyncTime: time.Duration(c.sync_ns), SyncTimeMax: time.Duration(c.sync_ns_max),
		Rotations: uint64(c.rotations), Truncations: uint64(c.truncations), SegmentsRemoved: uint64(c.segments_removed),
		SegmentCacheHits: uint64(c.segment_cache_hits), SegmentCacheMisses: uint64(c.segment_cache_misses),
		TxnCommitted: uint64(c.txn_committed), TxnRolledBack: uint64(c.txn_rolled_back), TxnExpired: uint64(c.txn_expired),
		MetaUpdates: uint64(c.meta_updates), RecoveryTime: time.Duration(c.recovery_ns),
		RecoveryBytesCut: uint64(c.recovery_bytes_cut), RecoveryEntriesCut: uint64(c.recovery_entries_cut),
	}
	for i, count := range c.sync_histogram {
		stats.SyncHistogram[i] = uint64(count)
	}
	return stats, nil
}

// StatsText is the same as text in the Prometheus exposition format.
func (l *Log) StatsText() (string, error) {
	text := make([]byte, 8192)
	for {
		var size C.size_t
		err := l.call(func() C.int32_t {
			return C.walrus_stats_text(l.handle, start(text), C.size_t(len(text)), &size)
		})
		if err == nil {
			return string(text[:size-1]), nil // without its NUL
		}
		if !isCode(err, ErrTooSmall) {
			return "", err
		}
		text = make([]byte, size+256) // it may have grown by now
	}
}
