// Package walrus is libwalrus for Go: an embeddable write-ahead log.
//
//	log, err := walrus.Open("orders", nil)
//	index, err := log.Append([]byte("hello")) // on stable storage when it returns
//	entry, err := log.Get(index)              // entry.Data
//	err = log.Close()
//
// A *Log may be used by any number of goroutines. Each method says what include/walrus.h says of the function that it
// stands for; errors are compared by code, errors.Is(err, walrus.ErrNotFound).
package walrus

// log.go - an open log, and the rule that keeps it safe
//
// No call reaches C with a freed handle. Each is counted while it lasts; Close turns new ones away, ends those that wait,
// and frees the handle when the last has returned. Cursors and transactions go through here as well.
//
// SPDX-License-Identifier: MIT

/*
#cgo CFLAGS: -I${SRCDIR}/../../include
#cgo LDFLAGS: -L${SRCDIR}/../../build/lib -lwalrus
#include <stdlib.h>
#include "bridge.h"
*/
import "C"

import (
	"context"
	"runtime"
	"runtime/cgo"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// closing is the bit in Log.calls that turns calls away; below it is how many are in C.
const closing = int64(1) << 62

// slice is how long a wait with a context stays in C at once, and so how late it may hear that it is canceled.
const slice = 50 * time.Millisecond

// Log is an open log. Close it.
type Log struct {
	dir        string
	handle     *C.walrus_t
	calls      atomic.Int64
	returned   chan struct{} // a call returned while Close waited
	interrupts atomic.Uint64
	freeing    sync.Mutex // held while C frees what belongs to the log, or the log itself
	logger     cgo.Handle
}

// Open opens the log in directory dir and creates it where there is none, unless the config says otherwise. Recovery is
// part of it: RecoveryReport tells what was done.
func Open(dir string, config *Config) (*Log, error) {
	if config == nil {
		config = &Config{}
	}
	path, err := cString("the directory", dir)
	if err != nil {
		return nil, err
	}
	defer C.free(unsafe.Pointer(path))
	options, logger, err := config.newOptions()
	if err != nil {
		return nil, err
	}
	defer C.walrus_options_free(options)
	log := &Log{dir: dir, returned: make(chan struct{}, 1), logger: logger}
	if _, err = checked(func() C.int32_t { return C.walrus_open(path, options, &log.handle) }); err != nil {
		log.dropLogger()
		return nil, err
	}
	runtime.SetFinalizer(log, func(log *Log) { _ = log.Close() })
	return log, nil
}

// Destroy removes the log in directory dir: its own files, then the directory if it is empty.
func Destroy(dir string) error {
	path, err := cString("the directory", dir)
	if err != nil {
		return err
	}
	defer C.free(unsafe.Pointer(path))
	_, err = checked(func() C.int32_t { return C.walrus_destroy(path) })
	return err
}

// Convert copies the log in directory source into a log in target, in the format and with the compression of the config,
// with the same indexes, terms, times and metadata. A copy that died goes on where it was when it is called again.
func Convert(source, target string, config *Config) error {
	if config == nil {
		config = &Config{}
	}
	from, err := cString("the source", source)
	if err != nil {
		return err
	}
	defer C.free(unsafe.Pointer(from))
	to, err := cString("the target", target)
	if err != nil {
		return err
	}
	defer C.free(unsafe.Pointer(to))
	options, logger, err := config.newOptions()
	if err != nil {
		return err
	}
	defer C.walrus_options_free(options)
	if logger != 0 {
		defer logger.Delete()
	}
	_, err = checked(func() C.int32_t { return C.walrus_convert(from, to, options, nil, nil) })
	return err
}

func (l *Log) dropLogger() {
	if l.logger != 0 {
		l.logger.Delete()
	}
}

// ---- Calls

func (l *Log) enter() bool {
	if l.calls.Add(1) < closing {
		return true
	}
	l.leave()
	return false
}

func (l *Log) leave() {
	if l.calls.Add(-1) == closing {
		select {
		case l.returned <- struct{}{}:
		default:
		}
	}
}

func (l *Log) closedError() error {
	return newError(ErrClosed, "log %q is closed: open it again to use it", l.dir)
}

// call runs one call of C with the log's handle, unless the log is closed.
func (l *Log) call(function func() C.int32_t) error {
	if !l.enter() {
		return l.closedError()
	}
	defer l.leave()
	_, err := checked(function)
	return err
}

// number is 0 where the library cannot answer, too.
func (l *Log) number(function func() C.uint64_t) uint64 {
	if !l.enter() {
		return 0
	}
	defer l.leave()
	return uint64(function())
}

// wait runs a call that takes a timeout until it says something else than that, or ctx is done. Walrus_interrupt would end
// the waits of others as well, so a wait that can be canceled is made of short ones. A context that is done polls.
func (l *Log) wait(ctx context.Context, call func(timeout C.int64_t) error) error {
	interrupts := l.interrupts.Load()
	for {
		timeout := C.int64_t(-1)
		canceled := ctx.Err()
		if canceled != nil {
			timeout = 0
		} else if ctx.Done() != nil {
			timeout = C.int64_t(slice.Milliseconds())
			if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < slice {
				timeout = C.int64_t(roundUp(time.Until(deadline)))
				if timeout < 0 {
					timeout = 0
				}
			}
		}
		err := call(timeout)
		if !isCode(err, ErrTimeout) {
			return err
		}
		if canceled != nil {
			return canceled
		}
		if l.interrupts.Load() != interrupts { // it came between two short waits
			return newError(ErrCanceled, "Interrupt ended the wait")
		}
	}
}

// ---- Close

// Close writes and syncs what is not durable yet, and frees the log, whatever the result. Calls in flight come first:
// those that wait answer ErrClosed. So does every later call, a second Close among them.
func (l *Log) Close() error {
	if _, err := checked(func() C.int32_t { return C.bridge_is_telling() * C.WALRUS_E_BUSY }); err != nil {
		return newError(ErrBusy, "the logger may not close a log: do it elsewhere")
	}
	for {
		calls := l.calls.Load()
		if calls >= closing {
			return l.closedError()
		}
		if l.calls.CompareAndSwap(calls, calls|closing) {
			break
		}
	}
	C.walrus_shutdown(l.handle)
	for l.calls.Load() != closing {
		<-l.returned
	}
	runtime.SetFinalizer(l, nil)
	l.freeing.Lock()
	defer l.freeing.Unlock()
	_, err := checked(func() C.int32_t { return C.walrus_close(l.handle) })
	l.handle = nil
	l.dropLogger()
	return err
}

// Shutdown ends use of the log: every later call, and every one that waits, answers ErrClosed. Close is still due.
func (l *Log) Shutdown() error {
	return l.call(func() C.int32_t { return C.walrus_shutdown(l.handle) })
}

// RecoveryReason is why Open cut the end of the log.
type RecoveryReason int32

const (
	RecoveryClean     RecoveryReason = C.WALRUS_RECOVERY_CLEAN     // it had been closed cleanly, or is new
	RecoveryComplete  RecoveryReason = C.WALRUS_RECOVERY_COMPLETE  // not closed, but nothing was unfinished
	RecoveryTorn      RecoveryReason = C.WALRUS_RECOVERY_TORN      // the last write was unfinished
	RecoveryBatch     RecoveryReason = C.WALRUS_RECOVERY_BATCH     // the last batch was unfinished
	RecoveryReordered RecoveryReason = C.WALRUS_RECOVERY_REORDERED // later writes had reached the disk before an earlier one
)

func (r RecoveryReason) String() string {
	names := [...]string{"clean", "complete", "torn", "batch", "reordered"}
	if r < 0 || int(r) >= len(names) {
		return "unknown"
	}
	return names[r]
}

// RecoveryReport is what Open found and did.
type RecoveryReport struct {
	Reason          RecoveryReason
	EntriesCut      uint64 // none of them was acknowledged as durable
	BytesCut        uint64
	CutIndex        uint64
	CutOffset       uint64
	SegmentsScanned uint64
	BytesScanned    uint64
	Duration        time.Duration
	DurableIndex    uint64
	Segment         string // file name of the segment that was cut
	Message         string // the same in a sentence
}

// RecoveryReport tells what Open found and did.
func (l *Log) RecoveryReport() (RecoveryReport, error) {
	var report C.walrus_recovery_report_t
	report.struct_size = C.uint32_t(unsafe.Sizeof(report))
	if err := l.call(func() C.int32_t { return C.walrus_recovery_report(l.handle, &report) }); err != nil {
		return RecoveryReport{}, err
	}
	return RecoveryReport{
		Reason:          RecoveryReason(report.reason),
		EntriesCut:      uint64(report.entries_cut),
		BytesCut:        uint64(report.bytes_cut),
		CutIndex:        uint64(report.cut_index),
		CutOffset:       uint64(report.cut_offset),
		SegmentsScanned: uint64(report.segments_scanned),
		BytesScanned:    uint64(report.bytes_scanned),
		Duration:        time.Duration(report.duration_ns),
		DurableIndex:    uint64(report.durable_index),
		Segment:         C.GoString(&report.segment[0]),
		Message:         C.GoString(&report.message[0]),
	}, nil
}

// ---- The library

// Version is the library's, as "major.minor.patch".
func Version() string { return C.GoString(C.walrus_version()) }

// VersionNumber is the library's version as major * 10000 + minor * 100 + patch.
func VersionNumber() uint32 { return uint32(C.walrus_version_number()) }

// ABIVersion is the version of the binary interface.
func ABIVersion() uint32 { return uint32(C.walrus_abi_version()) }

// CRC32 is the checksum that entries have: hash/crc32's IEEE.
func CRC32(data []byte) uint32 { return uint32(C.bridge_crc32(start(data), C.size_t(len(data)))) }

// start is where data lies. For C, for the time of a call.
func start(data []byte) *C.char {
	if len(data) == 0 {
		return nil
	}
	return (*C.char)(unsafe.Pointer(&data[0]))
}

func startOfSizes(sizes []uint32) *C.uint32_t {
	if len(sizes) == 0 {
		return nil
	}
	return (*C.uint32_t)(unsafe.Pointer(&sizes[0]))
}
