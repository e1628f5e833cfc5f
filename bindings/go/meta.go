// meta.go - small values beside the log, which no truncation touches
//
// SPDX-License-Identifier: MIT

package walrus

/*
#include <stdlib.h>
#include "bridge.h"
*/
import "C"

import (
	"runtime/cgo"
	"unsafe"
)

// MetaPair is a key and its value.
type MetaPair struct {
	Key   string
	Value []byte
}

func (l *Log) withKey(key string, function func(key *C.char) C.int32_t) error {
	text, err := cString("the key", key)
	if err != nil {
		return err
	}
	defer C.free(unsafe.Pointer(text))
	return l.call(func() C.int32_t { return function(text) })
}

// MetaSet sets a value, durable on return.
func (l *Log) MetaSet(key string, value []byte) error {
	return l.withKey(key, func(key *C.char) C.int32_t {
		return C.bridge_meta_set(l.handle, key, start(value), C.size_t(len(value)))
	})
}

// MetaStage stages a value to be set together with the next append: after a crash both are there or none.
func (l *Log) MetaStage(key string, value []byte) error {
	return l.withKey(key, func(key *C.char) C.int32_t {
		return C.bridge_meta_stage(l.handle, key, start(value), C.size_t(len(value)))
	})
}

// MetaGet reads a value. ErrNotFound: there is no such key.
func (l *Log) MetaGet(key string) ([]byte, error) {
	value := make([]byte, 256)
	for {
		var size C.size_t
		err := l.withKey(key, func(key *C.char) C.int32_t {
			return C.bridge_meta_get(l.handle, key, start(value), C.size_t(len(value)), &size)
		})
		if err == nil {
			return value[:size], nil
		}
		if !isCode(err, ErrTooSmall) {
			return nil, err
		}
		value = make([]byte, size) // it may have grown again by now
	}
}

// MetaDelete removes a key and its value, durable on return.
func (l *Log) MetaDelete(key string) error {
	return l.withKey(key, func(key *C.char) C.int32_t { return C.walrus_meta_delete(l.handle, key) })
}

// Meta are all keys and values, in the order of the keys' bytes.
func (l *Log) Meta() ([]MetaPair, error) {
	var list []MetaPair
	handle := cgo.NewHandle(&list)
	defer handle.Delete()
	err := l.call(func() C.int32_t { return C.bridge_meta_each(l.handle, C.uintptr_t(handle)) })
	return list, err
}
