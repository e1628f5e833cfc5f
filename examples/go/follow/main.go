// follow - prints what another process, in whatever language, writes into a log, while it does
//
//	follow DIR POSITION [LAST]
//
// POSITION is a file in which it keeps the index to go on at: killed and started again, it leaves nothing out (and prints at
// most one entry twice). It ends at Ctrl-C, or behind the entry LAST. The writer knows nothing of it.
//
// SPDX-License-Identifier: MIT
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"libwalrus/walrus"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "follow:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) < 2 || len(arguments) > 3 {
		return errors.New("usage: follow DIR POSITION [LAST]")
	}
	last := uint64(math.MaxUint64)
	if len(arguments) == 3 {
		var err error
		if last, err = strconv.ParseUint(arguments[2], 10, 64); err != nil {
			return err
		}
	}
	log, err := openWhenThere(ctx, arguments[0])
	if err != nil {
		return err
	}
	defer log.Close()
	return follow(ctx, log, arguments[1], last)
}

// openWhenThere waits for the writer, which may be late.
func openWhenThere(ctx context.Context, dir string) (*walrus.Log, error) {
	for {
		log, err := walrus.Open(dir, &walrus.Config{ReadOnly: true})
		if !errors.Is(err, walrus.ErrNoLog) && !errors.Is(err, fs.ErrNotExist) {
			return log, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func follow(ctx context.Context, log *walrus.Log, position string, last uint64) error {
	next, err := load(position)
	if err != nil {
		return err
	}
	if next > last {
		return nil
	}
	cursor, err := log.Cursor(next)
	if err != nil {
		return err // ErrCompacted: what was to come next has been truncated away
	}
	defer cursor.Close()
	for {
		entry, err := cursor.Follow(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("%d: %s\n", entry.Index, entry.Data)
		if err := store(position, cursor.Position()); err != nil {
			return err
		}
		if entry.Index >= last {
			return nil
		}
	}
}

// load is 0, the first entry, where there is no file yet.
func load(position string) (uint64, error) {
	text, err := os.ReadFile(position)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
}

// store leaves the old number or the new one, never half of one.
func store(position string, next uint64) error {
	if err := os.WriteFile(position+".new", []byte(strconv.FormatUint(next, 10)+"\n"), 0o644); err != nil {
		return err
	}
	return os.Rename(position+".new", position)
}
