// queue - a small event queue that survives whatever stops it
//
//	queue DIR push         takes events in, one from each line of the standard input
//	queue DIR work [N]     handles events, N at the most, and goes on where the last worker stopped
//	queue DIR replay FROM  shows events again, from an index on; changes nothing
//
// A worker handles each event at least once: it writes its position down after the event was handled, so one that dies in
// between handles that event again. A handler for which that matters keeps the index with what it writes.
//
// SPDX-License-Identifier: MIT
package main

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"

	"libwalrus/walrus"
)

const position = "position" // metadata: the index of the next event to be handled

const usage = "usage: queue DIR push | work [N] | replay FROM"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "queue:", err)
		os.Exit(1)
	}
}

func run(arguments []string) (err error) {
	if len(arguments) < 2 {
		return errors.New(usage)
	}
	command, number := arguments[1], uint64(math.MaxUint64)
	if len(arguments) > 2 {
		if number, err = strconv.ParseUint(arguments[2], 10, 64); err != nil {
			return fmt.Errorf("%q is not a number; %s", arguments[2], usage)
		}
	}
	log, err := walrus.Open(arguments[0], &walrus.Config{ReadOnly: command == "replay"})
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := log.Close(); err == nil {
			err = closeErr
		}
	}()
	if report, err := log.RecoveryReport(); err == nil && report.Reason != walrus.RecoveryClean {
		fmt.Fprintln(os.Stderr, "queue:", report.Message)
	}
	switch {
	case command == "push" && len(arguments) == 2:
		return push(log)
	case command == "work":
		return work(log, number)
	case command == "replay" && len(arguments) == 3:
		return replay(log, number)
	}
	return errors.New(usage)
}

// push appends without waiting for each event: many share a sync. It says how far they are durable, and nothing more.
func push(log *walrus.Log) error {
	lines := bufio.NewScanner(os.Stdin)
	var last *walrus.Pending
	for lines.Scan() {
		pending, err := log.AppendAsync(walrus.Entry{Data: lines.Bytes()})
		if err != nil {
			return err
		}
		last = pending
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if last == nil {
		return nil
	}
	<-last.Done() // they become durable in order, so the last one stands for all
	if err := last.Err(); err != nil {
		return err
	}
	fmt.Printf("events up to %d are safe\n", last.Index())
	return nil
}

func work(log *walrus.Log, most uint64) error {
	next, err := begin(log)
	if err != nil {
		return err
	}
	cursor, err := log.DurableCursor(next)
	if err != nil {
		return err
	}
	defer cursor.Close()
	for ; most > 0; most-- {
		event, err := cursor.Next()
		if errors.Is(err, walrus.ErrCaughtUp) {
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Printf("%d: %s\n", event.Index, event.Data) // handling it
		if err := log.MetaSet(position, []byte(strconv.FormatUint(cursor.Position(), 10))); err != nil {
			return err
		}
	}
	return nil
}

// begin is where the last worker stopped; 0, the first event, if there was none.
func begin(log *walrus.Log) (uint64, error) {
	value, err := log.MetaGet(position)
	if errors.Is(err, walrus.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(string(value), 10, 64)
}

func replay(log *walrus.Log, from uint64) error {
	return log.Scan(from, math.MaxUint64, func(event walrus.Entry) error {
		_, err := fmt.Printf("%d: %s\n", event.Index, event.Data)
		return err
	})
}
