# host.py - appends for ever and says so, until it is killed: see test_hosts.c for what is called how, and what the lines mean
import os
import sys
import threading
import zlib

import walrus

THREADS = 2


def say(line: str) -> None:
    os.write(1, line.encode() + b"\n")


def entry(number: int, thread: int, operation: int, position: int, count: int) -> bytes:
    letters = (number * 7 + operation * 13 + position * 29) % 200 + (6000 if operation % 64 == 17 else 0)
    start = (operation + position) % 26
    alphabet = bytes(97 + (start + i) % 26 for i in range(26))
    text = b"%d %d %d %d %d " % (number, thread, operation, position, count) + (alphabet * (letters // 26 + 1))[:letters]
    return b"%08x " % zlib.crc32(text) + text


def append(log: walrus.Log, number: int, thread: int) -> None:
    operation = 0
    while True:
        count = 2 + operation % 6 if operation % 8 == 3 else 1
        entries = [entry(number, thread, operation, i, count) for i in range(count)]
        if operation % 8 == 5:

            def done(index: int, error: object, operation: int = operation) -> None:
                say(f"error {error}" if error else f"d {thread} {operation} {index} 1")

            log.append_async(entries[0], callback=done)
        elif count > 1:
            say(f"a {thread} {operation} {log.append_batch(entries)[0]} {count}")
        elif operation % 16 == 9:
            say(f"d {thread} {operation} {log.append_record(entries[0], sync='always')} 1")
        else:
            say(f"a {thread} {operation} {log.append(entries[0])} 1")
        operation += 1


def work(log: walrus.Log, number: int, thread: int) -> None:
    try:
        append(log, number, thread)
    except BaseException as error:
        say(f"error {error!r}")


def main() -> None:
    directory, text, number, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    options = dict(word.split("=", 1) for word in text.split())
    say("ready")
    log = walrus.open(directory, **options)
    first, last = log.first_index, log.last_index
    if number % 3 == 1 and last > first + 20:
        say(f"cut? {last - seed % 15}")
        log.truncate(last - seed % 15)
        say(f"cut {last - seed % 15}")
    elif last > first + 3000:
        say(f"front? {last - 500}")
        log.truncate_front(last - 500)
        say(f"front {last - 500}")
    threads = [threading.Thread(target=work, args=(log, number, thread)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


try:
    main()
except BaseException as error:
    say(f"error {error!r}")
