//! Appends for ever and says so, until it is killed: see ../../test_hosts.c for what is called how, and what the lines mean.
use std::io::Write;
use std::sync::Arc;
use std::thread;

const THREADS: u64 = 3;

fn say(line: &str) {
    let mut bytes = line.as_bytes().to_vec();
    bytes.push(b'\n');
    // One write a line, past the buffer of std's stdout, which splits at newlines only when it is full.
    let mut out = std::io::stdout().lock();
    if out.write_all(&bytes).and_then(|()| out.flush()).is_err() {
        std::process::exit(4);
    }
}

fn fail(error: &dyn std::fmt::Display) -> ! {
    say(&format!("error {error}"));
    std::process::exit(1);
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

fn entry(round: u64, thread: u64, operation: u64, position: u64, count: u64) -> Vec<u8> {
    let letters = (round * 7 + operation * 13 + position * 29) % 200 + if operation % 64 == 17 { 6000 } else { 0 };
    let mut text = format!("{round} {thread} {operation} {position} {count} ").into_bytes();
    text.extend((0..letters).map(|i| b'a' + ((operation + position + i) % 26) as u8));
    let mut bytes = format!("{:08x} ", crc32(&text)).into_bytes();
    bytes.append(&mut text);
    bytes
}

fn append(log: &walrus::Log, round: u64, thread: u64) -> walrus::Result<()> {
    for operation in 0.. {
        let count = if operation % 8 == 3 { 2 + operation % 6 } else { 1 };
        let entries: Vec<Vec<u8>> = (0..count).map(|i| entry(round, thread, operation, i, count)).collect();
        if operation % 8 == 5 {
            log.append_async(&entries[0], move |index, result| match result {
                Ok(()) => say(&format!("d {thread} {operation} {index} 1")),
                Err(error) => say(&format!("error {error}")),
            })?;
        } else if count > 1 {
            let indexes = log.append_batch(entries.iter(), walrus::Durability::AsOpened)?;
            say(&format!("a {thread} {operation} {} {count}", indexes.start));
        } else if operation % 16 == 9 {
            say(&format!("d {thread} {operation} {} 1", log.append_record(&entries[0], walrus::Durability::Durable)?));
        } else {
            say(&format!("a {thread} {operation} {} 1", log.append(&entries[0])?));
        }
    }
    Ok(())
}

fn run(directory: &str, text: &str, round: u64, seed: u64) -> walrus::Result<()> {
    let mut options = walrus::Options::new();
    for word in text.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        options = options.set(key, value);
    }
    say("ready");
    let log = Arc::new(options.open(directory)?);
    let (first, last) = (log.first_index(), log.last_index());
    if round % 3 == 1 && last > first + 20 {
        let index = last - seed % 15;
        say(&format!("cut? {index}"));
        log.truncate(index)?;
        say(&format!("cut {index}"));
    } else if last > first + 3000 {
        let index = last - 500;
        say(&format!("front? {index}"));
        log.truncate_front(index)?;
        say(&format!("front {index}"));
    }
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                if let Err(error) = append(&log, round, number) {
                    fail(&error);
                }
            })
        })
        .collect();
    for thread in threads {
        let _ = thread.join();
    }
    Ok(())
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize| words[i].parse().unwrap_or_else(|_| fail(&"a number is missing"));
    if let Err(error) = run(&words[0], &words[1], number(2), number(3)) {
        fail(&error);
    }
}
