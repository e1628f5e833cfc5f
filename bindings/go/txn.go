// txn.go - entries staged for one atomic append
//
// SPDX-License-Identifier: MIT

package walrus

/*
#include "bridge.h"
*/
import "C"

import (
	"runtime"
	"sync"
	"time"
)

// TxnState is what a transaction can still do.
type TxnState int32

const (
	TxnOpen      TxnState = C.WALRUS_TXN_OPEN      // takes entries
	TxnExpired   TxnState = C.WALRUS_TXN_EXPIRED   // its time was over; roll it back
	TxnCommitted TxnState = C.WALRUS_TXN_COMMITTED // its entries are in the log, but the wait for them failed; roll it back
)

// Forever is the timeout of a transaction that does not expire.
const Forever = time.Duration(-1)

// Txn stages entries in memory, and appends them as one batch. Roll it back or commit it; `defer txn.Rollback()` is
// harmless after a commit.
type Txn struct {
	log    *Log
	mu     sync.Mutex
	handle *C.walrus_txn_t
}

// Begin begins a transaction that expires after timeout; 0 stands for the option txn_timeout_ms.
func (l *Log) Begin(timeout time.Duration) (*Txn, error) {
	ms := C.int64_t(-1)
	if timeout >= 0 {
		ms = C.int64_t(roundUp(timeout))
	}
	txn := &Txn{log: l}
	if err := l.call(func() C.int32_t { return C.walrus_txn_begin(l.handle, ms, &txn.handle) }); err != nil {
		return nil, err
	}
	runtime.SetFinalizer(txn, func(txn *Txn) { _ = txn.Rollback() })
	return txn, nil
}

func (t *Txn) call(function func() C.int32_t) error {
	if t.handle == nil {
		return newError(ErrTxnState, "this transaction is over: begin another one")
	}
	return t.log.call(function)
}

// Append stages a copy of an entry.
func (t *Txn) Append(entry Entry) error {
	record, err := entry.record()
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.call(func() C.int32_t { return C.bridge_txn_append(t.handle, start(entry.Data), record) })
}

// Commit appends what was staged as one batch, and returns the first index and the number of entries. After an error the
// transaction can be committed again, unless State says TxnCommitted: then the entries are in the log, first and count say
// where, and only the wait for them to be durable failed.
func (t *Txn) Commit(durability Durability) (first, count uint64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var cFirst, cCount C.uint64_t
	err = t.call(func() C.int32_t {
		code := C.walrus_txn_commit(t.handle, C.uint32_t(durability), &cFirst, &cCount)
		if code == C.WALRUS_OK {
			t.handle = nil
			runtime.SetFinalizer(t, nil)
		}
		return code
	})
	return uint64(cFirst), uint64(cCount), err
}

// Rollback drops what was staged. After a commit, a rollback or Close of the log it does nothing.
func (t *Txn) Rollback() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.handle == nil {
		return nil
	}
	runtime.SetFinalizer(t, nil)
	t.log.freeing.Lock() // not while another goroutine closes the log
	defer t.log.freeing.Unlock()
	_, err := checked(func() C.int32_t { return C.walrus_txn_rollback(t.handle) })
	t.handle = nil
	return err
}

// State is what the transaction can still do.
func (t *Txn) State() (TxnState, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var state C.int32_t
	err := t.call(func() C.int32_t {
		state = C.walrus_txn_state(t.handle)
		return state
	})
	if err != nil {
		return 0, err
	}
	return TxnState(state), nil
}

// TxnCount is how many transactions of the log are open.
func (l *Log) TxnCount() uint64 {
	return l.number(func() C.uint64_t { return C.walrus_txn_count(l.handle) })
}

// TxnExpire expires those whose time is over at once, and returns how many; the background does so by itself.
func (l *Log) TxnExpire() (uint64, error) {
	var expired C.uint64_t
	err := l.call(func() C.int32_t { return C.walrus_txn_expire(l.handle, &expired) })
	return uint64(expired), err
}
