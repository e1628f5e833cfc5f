// config.go - how a log is opened
//
// SPDX-License-Identifier: MIT

package walrus

/*
#include <stdlib.h>
#include "bridge.h"
*/
import "C"

import (
	"io/fs"
	"runtime/cgo"
	"strconv"
	"strings"
	"time"
	"unsafe"
)

// Sync says what is true of an entry when its append returns.
type Sync string

const (
	SyncAlways   Sync = "always"   // it is on stable storage
	SyncInterval Sync = "interval" // it was handed to the system, and is synced in the background
	SyncOS       Sync = "os"       // it was handed to the system: it survives kill -9
	SyncNone     Sync = "none"     // it is in memory, up to BufferSize of them
)

// LogLevel is how important a message of the library is.
type LogLevel int32

const (
	LogError LogLevel = C.WALRUS_LOG_ERROR // a write, sync or read failed
	LogWarn  LogLevel = C.WALRUS_LOG_WARN  // the log helped itself
	LogInfo  LogLevel = C.WALRUS_LOG_INFO  // opened, created, closed
	LogDebug LogLevel = C.WALRUS_LOG_DEBUG // rotations, segments
)

// Config is how a log is opened. A field's zero value stands for the library's default, and so does a nil *Config.
type Config struct {
	Sync           Sync          // SyncAlways
	SyncInterval   time.Duration // with SyncInterval: 100 ms
	SegmentSize    uint64        // bytes of entries; 64 MiB
	MaxSegments    uint64        // keep at most so many; no limit
	RetentionBytes uint64        // keep at most so many bytes of segments; no limit
	RetentionAge   time.Duration // drop segments with nothing younger in them; no limit
	CachedSegments uint64        // kept open and mapped; 512
	BufferSize     uint64        // of the write buffer; 256 KiB
	MaxEntrySize   uint64        // 64 MiB
	FileMode       fs.FileMode   // of new files; 0640
	ReadOnly       bool          // follow a log that another process may write
	MustExist      bool          // ErrNoLog instead of a new log
	MustBeNew      bool          // ErrExists instead of opening a log that is there

	// Options are any others, as text, and come last: {"recovery": "strict", "zero_copy": "false"}. Options() lists them.
	Options map[string]string

	// Logger is told what the library does, up to LogLevel (LogWarn if that is 0). It is called from any thread, maybe from
	// several at once and while the log is locked: it must not use the log, and what it panics with is dropped.
	Logger   func(level LogLevel, message string)
	LogLevel LogLevel
}

// Option is a setting that the library knows.
type Option struct {
	Key     string
	Default string
	Allowed string // in words
}

// Options are all settings of the library, with their defaults.
func Options() []Option {
	var list []Option
	handle := cgo.NewHandle(&list)
	defer handle.Delete()
	C.bridge_options_each(C.uintptr_t(handle))
	return list
}

// CheckOption says how the library understands a setting, as in ("segment_size", "64KiB") to "65536", or why it does not.
func CheckOption(key, value string) (string, error) {
	options := C.walrus_options_new()
	if options == nil {
		return "", newError(ErrNoMemory, "there is no memory for options")
	}
	defer C.walrus_options_free(options)
	if err := setOption(options, setting{key, value}); err != nil {
		return "", err
	}
	name := C.CString(key)
	defer C.free(unsafe.Pointer(name))
	text := make([]byte, 256) // no option is longer
	_, err := checked(func() C.int32_t {
		return C.walrus_options_get(options, name, start(text), C.size_t(len(text)), nil)
	})
	end := strings.IndexByte(string(text), 0)
	return string(text[:end]), err
}

// DefaultConfig is a Config with every field at its default.
func DefaultConfig() Config { return Config{} }

type setting struct{ key, value string }

func (c *Config) settings() []setting {
	var all []setting
	text := func(key, value string) {
		if value != "" {
			all = append(all, setting{key, value})
		}
	}
	number := func(key string, value uint64) {
		if value != 0 {
			text(key, strconv.FormatUint(value, 10))
		}
	}
	milliseconds := func(key string, value time.Duration) {
		if value != 0 { // at least 1, for less than that is not "no limit"; a negative one is refused by the library
			text(key, strconv.FormatInt(roundUp(value), 10))
		}
	}
	text("sync", string(c.Sync))
	milliseconds("sync_interval_ms", c.SyncInterval)
	number("segment_size", c.SegmentSize)
	number("max_segments", c.MaxSegments)
	number("retention_bytes", c.RetentionBytes)
	milliseconds("retention_age_ms", c.RetentionAge)
	number("cached_segments", c.CachedSegments)
	number("buffer_size", c.BufferSize)
	number("max_entry_size", c.MaxEntrySize)
	if c.FileMode != 0 {
		text("file_mode", "0"+strconv.FormatUint(uint64(c.FileMode), 8))
	}
	for key, on := range map[string]bool{"read_only": c.ReadOnly, "must_be_new": c.MustBeNew} {
		if on {
			text(key, "true")
		}
	}
	if c.MustExist {
		text("create", "false")
	}
	for key, value := range c.Options {
		all = append(all, setting{key, value})
	}
	return all
}

// roundUp are milliseconds, away from 0.
func roundUp(duration time.Duration) int64 {
	ms := duration.Milliseconds()
	switch rest := duration % time.Millisecond; {
	case rest > 0:
		ms++
	case rest < 0:
		ms--
	}
	return ms
}

// cString is a copy in C memory, to be freed. Text with a NUL in it would lose its end there.
func cString(what, text string) (*C.char, error) {
	if strings.IndexByte(text, 0) >= 0 {
		return nil, newError(ErrInvalid, "%s %q has a NUL in it: leave that out", what, text)
	}
	return C.CString(text), nil
}

func setOption(options *C.walrus_options_t, one setting) error {
	key, err := cString("option", one.key)
	if err != nil {
		return err
	}
	defer C.free(unsafe.Pointer(key))
	value, err := cString("the value of "+one.key, one.value)
	if err != nil {
		return err
	}
	defer C.free(unsafe.Pointer(value))
	_, err = checked(func() C.int32_t { return C.walrus_options_set(options, key, value) })
	return err
}

// newOptions are to be freed. The logger's handle, or 0, is to be deleted when the log is closed.
func (c *Config) newOptions() (options *C.walrus_options_t, logger cgo.Handle, err error) {
	options = C.walrus_options_new()
	if options == nil {
		return nil, 0, newError(ErrNoMemory, "there is no memory for options")
	}
	for _, one := range c.settings() {
		if err = setOption(options, one); err != nil {
			C.walrus_options_free(options)
			return nil, 0, err
		}
	}
	if c.Logger == nil {
		return options, 0, nil
	}
	level := c.LogLevel
	if level == 0 {
		level = LogWarn
	}
	logger = cgo.NewHandle(c.Logger)
	_, err = checked(func() C.int32_t { return C.bridge_set_logger(options, C.uintptr_t(logger), C.int32_t(level)) })
	if err != nil {
		logger.Delete()
		C.walrus_options_free(options)
		return nil, 0, err
	}
	return options, logger, nil
}
