//! queue - hands each line of a file to every consumer, once, however often it is killed
//!
//!     queue run DIRECTORY FILE NAME=OUTPUT...    takes FILE in, and appends each line to every OUTPUT; ends when all are done
//!     queue status DIRECTORY                     the messages that are kept, and how far each consumer has come
//!     queue trim DIRECTORY                       drops what every consumer has taken
//!     queue forget DIRECTORY NAME                ends a consumer
//!
//! Kill it at any moment, and run it again: it goes on where it stopped. Each output is the file then, line by line.

mod queue;

use queue::{Consumer, Queue};
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{env, process, thread};

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// Messages in one batch, and messages that a consumer makes durable at once.
const BATCH: usize = 64;
const UNKNOWN: u64 = u64::MAX;
const FAILED: u64 = 0;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["run", directory, file, ref consumers @ ..] if !consumers.is_empty() => run(directory, file, consumers),
        ["status", directory] => status(directory),
        ["trim", directory] => trim(directory),
        ["forget", directory, name] => forget(directory, name),
        _ => Err("usage: queue run DIRECTORY FILE NAME=OUTPUT... | status DIRECTORY | trim DIRECTORY | forget DIRECTORY NAME".into()),
    };
    if let Err(error) = outcome {
        eprintln!("queue: {error}");
        process::exit(1);
    }
}

fn run(directory: &str, file: &str, consumers: &[&str]) -> Outcome {
    let outputs: Vec<(&str, &str)> = consumers
        .iter()
        .map(|consumer| consumer.split_once('=').ok_or(format!("{consumer:?} is not NAME=OUTPUT")))
        .collect::<Result<_, _>>()?;
    let queue = Queue::open(directory)?;
    // A consumer is known to the queue before the first message comes.
    let begun: Vec<(Consumer, &str)> =
        outputs.iter().map(|(name, output)| Ok((queue.consume(name)?, *output))).collect::<walrus::Result<_>>()?;
    let end = AtomicU64::new(UNKNOWN); // the index behind the last message, once it is known
    thread::scope(|scope| {
        let (queue, end) = (&queue, &end);
        let mut threads = vec![scope.spawn(move || {
            let outcome = take_in(queue, file);
            end.store(if outcome.is_ok() { queue.messages().end } else { FAILED }, Ordering::Release);
            outcome
        })];
        threads
            .extend(begun.into_iter().map(|(consumer, output)| scope.spawn(move || hand_out(consumer, output, end))));
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".into())))
    })?;
    queue.close()?;
    Ok(())
}

/// Adds the lines that were not taken in before.
fn take_in(queue: &Queue, file: &str) -> Outcome {
    let mut taken = queue.taken_from(file)?;
    let source = BufReader::new(File::open(file).map_err(|error| format!("{file}: {error}"))?);
    let mut lines = source.split(b'\n').skip(taken as usize);
    loop {
        let batch: Vec<Vec<u8>> = lines.by_ref().take(BATCH).collect::<Result<_, _>>()?;
        if batch.is_empty() {
            return Ok(());
        }
        queue.put(file, taken, &batch)?;
        taken += batch.len() as u64;
    }
}

/// Appends messages to the output until all are there.
fn hand_out(mut consumer: Consumer, output: &str, end: &AtomicU64) -> Outcome {
    let (mut next, mut bytes) = (consumer.progress().next_index, consumer.progress().output_bytes);
    let mut file =
        OpenOptions::new().create(true).append(true).open(output).map_err(|error| format!("{output}: {error}"))?;
    if file.metadata()?.len() < bytes {
        return Err(format!("{output} is shorter than the {bytes} bytes that were written to it").into());
    }
    file.set_len(bytes)?; // what was written beyond the position is written again
    let mut lines = Vec::new();
    let mut gathered = 0;
    while next < end.load(Ordering::Acquire) || gathered > 0 {
        let timeout = if gathered > 0 { Duration::ZERO } else { Duration::from_millis(50) };
        if let Some(message) = consumer.next(timeout)? {
            lines.extend_from_slice(&message);
            lines.push(b'\n');
            next = message.index() + 1;
            gathered += 1;
            if gathered < BATCH {
                continue;
            }
        }
        if gathered > 0 {
            file.write_all(&lines)?;
            file.sync_data()?;
            bytes += lines.len() as u64;
            consumer.done(next - 1, bytes)?;
            lines.clear();
            gathered = 0;
        }
    }
    Ok(())
}

fn status(directory: &str) -> Outcome {
    let queue = Queue::open(directory)?;
    let messages = queue.messages();
    println!("messages {} to {}, {} in all", messages.start, messages.end - 1, messages.end - messages.start);
    for (name, progress) in queue.consumers()? {
        println!("{name}: {} behind, {} bytes of output", messages.end - progress.next_index, progress.output_bytes);
    }
    Ok(queue.close()?)
}

fn trim(directory: &str) -> Outcome {
    let queue = Queue::open(directory)?;
    let messages = queue.trim()?;
    println!("{} messages are kept", messages.end - messages.start);
    Ok(queue.close()?)
}

fn forget(directory: &str, name: &str) -> Outcome {
    let queue = Queue::open(directory)?;
    if !queue.forget(name)? {
        return Err(format!("there is no consumer {name}").into());
    }
    Ok(queue.close()?)
}
