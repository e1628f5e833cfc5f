// errors.go - a code for each kind of failure, and the error that carries one
//
// SPDX-License-Identifier: MIT

package walrus

/*
#include "bridge.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"unsafe"
)

// Code is a kind of failure, and an error by itself: errors.Is(err, walrus.ErrNotFound).
type Code int32

// The codes of the library. What each means in a call, include/walrus.h says at the function of that name.
const (
	ErrInvalid     Code = C.WALRUS_E_INVALID      // an argument, option or combination that is never allowed
	ErrNotFound    Code = C.WALRUS_E_NOT_FOUND    // no such index yet, or no such key
	ErrCompacted   Code = C.WALRUS_E_COMPACTED    // the index was truncated away at the front
	ErrOutOfOrder  Code = C.WALRUS_E_OUT_OF_ORDER // the entry's index is not the next one
	ErrTooLarge    Code = C.WALRUS_E_TOO_LARGE    // an entry above max_entry_size, or a batch above 2 GiB
	ErrTooSmall    Code = C.WALRUS_E_TOO_SMALL    // the buffer is too small; Error.Size is what is needed
	ErrExists      Code = C.WALRUS_E_EXISTS       // MustBeNew, but there is a log
	ErrNoLog       Code = C.WALRUS_E_NO_LOG       // there is no log, and none may be created
	ErrNotALog     Code = C.WALRUS_E_NOT_A_LOG    // a directory that holds something else, or no directory
	ErrVersion     Code = C.WALRUS_E_VERSION      // written in a newer format
	ErrFormat      Code = C.WALRUS_E_FORMAT       // opened with another format than it was created with
	ErrLocked      Code = C.WALRUS_E_LOCKED       // open already, in this process or another
	ErrReadOnly    Code = C.WALRUS_E_READ_ONLY    // a write to a log opened with ReadOnly
	ErrIO          Code = C.WALRUS_E_IO           // the system refused; errors.Is with the syscall.Errno works, too
	ErrNoSpace     Code = C.WALRUS_E_NO_SPACE     // disk full; nothing was appended
	ErrNoMemory    Code = C.WALRUS_E_NO_MEMORY    // nothing was changed
	ErrCorrupt     Code = C.WALRUS_E_CORRUPT      // data that had been durable is damaged
	ErrTorn        Code = C.WALRUS_E_TORN         // recovery=strict found an unfinished tail
	ErrPoisoned    Code = C.WALRUS_E_POISONED     // a write or sync failed: reads go on, writes wait for a reopen
	ErrClosed      Code = C.WALRUS_E_CLOSED       // the log, cursor or transaction was closed
	ErrTimeout     Code = C.WALRUS_E_TIMEOUT      // never returned: a context's own error is
	ErrCanceled    Code = C.WALRUS_E_CANCELED     // Interrupt ended the wait
	ErrCaughtUp    Code = C.WALRUS_E_CAUGHT_UP    // the cursor is at the end; more may come
	ErrTxnState    Code = C.WALRUS_E_TXN_STATE    // the transaction is no longer open
	ErrTxnExpired  Code = C.WALRUS_E_TXN_EXPIRED  // the transaction's time was over
	ErrTxnFull     Code = C.WALRUS_E_TXN_FULL     // the transaction has txn_max_entries already
	ErrForked      Code = C.WALRUS_E_FORKED       // the log was opened before a fork
	ErrBusy        Code = C.WALRUS_E_BUSY         // not now, or not from inside the logger
	ErrUnsupported Code = C.WALRUS_E_UNSUPPORTED  // this version of the library does not do that
	ErrInternal    Code = C.WALRUS_E_INTERNAL     // a bug in libwalrus
)

// Error is the code's name and meaning.
func (c Code) Error() string { return C.GoString(C.walrus_strerror(C.int32_t(c))) }

// Error is what every function of this package returns when the library refuses; use errors.As to look at the details.
type Error struct {
	Code    Code
	Errno   syscall.Errno // of the system, or 0
	Index   uint64        // the entry concerned, or 0
	Offset  uint64        // bytes from the start of the file concerned, or 0
	Size    uint64        // with ErrTooSmall: the bytes needed
	Path    string        // the file or directory concerned, or ""
	Message string        // a sentence to act on
}

func (e *Error) Error() string { return "walrus: " + e.Message }

// Is makes errors.Is(err, walrus.ErrNotFound) work.
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code == e.Code
}

// Unwrap is the system's errno, so that errors.Is(err, syscall.ENOSPC) and errors.Is(err, fs.ErrPermission) work.
func (e *Error) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

func newError(code Code, format string, arguments ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, arguments...)}
}

func isCode(err error, code Code) bool { return errors.Is(err, code) }

// checked runs one call of C and fetches its failure, which belongs to the OS thread: the goroutine stays on it meanwhile.
func checked(call func() C.int32_t) (C.int32_t, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	code := call()
	if code >= 0 {
		return code, nil
	}
	var last C.walrus_error_t
	last.struct_size = C.uint32_t(unsafe.Sizeof(last))
	C.walrus_last_error(&last)
	if last.code != code { // the bridge had no memory
		return code, newError(Code(code), "%s", Code(code).Error())
	}
	return code, &Error{
		Code:    Code(code),
		Errno:   syscall.Errno(last.os_errno),
		Index:   uint64(last.index),
		Offset:  uint64(last.offset),
		Path:    C.GoString(&last.path[0]),
		Message: C.GoString(&last.message[0]),
	}
}
