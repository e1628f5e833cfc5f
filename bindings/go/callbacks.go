// callbacks.go - what C calls
//
// None of these runs the program's code while the library waits for it, but for the logger: visitors fill lists that are
// looked at when the walk is over, and a completion closes a channel. So a panic, a Goexit or a call back into the log has
// nothing of C below it. What C carries for us is a cgo.Handle, never a pointer.
//
// SPDX-License-Identifier: MIT

package walrus

/*
#include "bridge.h"
*/
import "C"

import (
	"runtime/cgo"
	"unsafe"
)

//export walrusGoDone
func walrusGoDone(handle C.uintptr_t, index C.uint64_t, status C.int32_t) {
	pending := cgo.Handle(handle).Value().(*Pending)
	cgo.Handle(handle).Delete() // exactly one completion comes for each append that was accepted
	if status < 0 {
		pending.err = newError(Code(status), "the append of entry %d: %s", uint64(index), Code(status).Error())
	}
	close(pending.done)
}

//export walrusGoMeta
func walrusGoMeta(handle C.uintptr_t, key *C.char, value unsafe.Pointer, size C.size_t) {
	list := cgo.Handle(handle).Value().(*[]MetaPair)
	*list = append(*list, MetaPair{Key: C.GoString(key), Value: copied(value, size)})
}

//export walrusGoSegment
func walrusGoSegment(handle C.uintptr_t, info *C.walrus_segment_info_t) {
	list := cgo.Handle(handle).Value().(*[]Segment)
	*list = append(*list, Segment{
		ID:               uint64(info.id),
		FirstIndex:       uint64(info.first_index),
		LastIndex:        uint64(info.last_index),
		Bytes:            uint64(info.bytes),
		FileBytes:        uint64(info.file_bytes),
		HighestTimestamp: fromNanoseconds(info.highest_timestamp_ns),
		Name:             C.GoString(info.name),
		IsTail:           info.is_tail != 0,
	})
}

//export walrusGoOption
func walrusGoOption(handle C.uintptr_t, key, defaultValue, allowed *C.char) {
	list := cgo.Handle(handle).Value().(*[]Option)
	*list = append(*list, Option{Key: C.GoString(key), Default: C.GoString(defaultValue), Allowed: C.GoString(allowed)})
}

//export walrusGoTell
func walrusGoTell(handle C.uintptr_t, level C.int32_t, message *C.char) {
	// A panic must not unwind through C, and there is nobody above to whom it could be handed.
	defer func() { _ = recover() }()
	cgo.Handle(handle).Value().(func(LogLevel, string))(LogLevel(level), C.GoString(message))
}
