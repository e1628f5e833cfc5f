//! A queue that loses nothing: messages are a log's entries, and who has come how far is its metadata.
//!
//! A source's position rides on the batch that holds its messages: after a crash both are there or none, so no message is taken in
//! twice. A consumer's position is set once it has made durable what it did with a message, together with what it needs to undo
//! what it did beyond that. Messages that every consumer has taken may be dropped.

use std::ops::Range;
use std::time::Duration;
use walrus::{Cursor, Durability, Entry, Error, Log, Options, Sync};

const SOURCE: &str = "source/";
const CONSUMER: &str = "consumer/";

pub struct Queue {
    log: Log,
}

/// How far a consumer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The message that it takes next.
    pub next_index: u64,
    /// How many bytes of its output are final.
    pub output_bytes: u64,
}

impl Queue {
    pub fn open(directory: &str) -> Result<Queue, Error> {
        let log = Options::new().sync(Sync::Always).segment_size(1 << 20).open(directory)?;
        Ok(Queue { log })
    }

    pub fn close(self) -> Result<(), Error> {
        self.log.close()
    }

    /// The messages that are kept.
    pub fn messages(&self) -> Range<u64> {
        let next = self.log.next_index();
        match self.log.first_index() {
            0 => next..next,
            first => first..next,
        }
    }

    // ---- Sources

    /// How many messages have been taken in from a source.
    pub fn taken_from(&self, source: &str) -> Result<u64, Error> {
        Ok(self.log.meta_get(format!("{SOURCE}{source}"))?.and_then(|value| numbers(&value)).map_or(0, |[taken]| taken))
    }

    /// Adds messages, the first of which is number `already` of its source. Durable on return, all of them or none.
    ///
    /// One thread at a time may do this: a staged position rides on the next append of whatever thread.
    pub fn put(&self, source: &str, already: u64, messages: &[Vec<u8>]) -> Result<Range<u64>, Error> {
        let taken = already + messages.len() as u64;
        self.log.meta_stage(format!("{SOURCE}{source}"), text([taken]))?;
        self.log.append_batch(messages, Durability::Durable)
    }

    // ---- Consumers

    /// Begins or goes on where the consumer stopped; a new one begins with the oldest message that is kept.
    pub fn consume(&self, name: &str) -> Result<Consumer<'_>, Error> {
        let key = format!("{CONSUMER}{name}");
        let progress = match self.log.meta_get(&key)?.and_then(|value| numbers(&value)) {
            Some([next_index, output_bytes]) => Progress { next_index, output_bytes },
            None => Progress { next_index: self.messages().start, output_bytes: 0 },
        };
        // Only what is durable: what a consumer has done must not depend on a message that a crash takes back.
        let cursor = self.log.durable_cursor(progress.next_index)?;
        let consumer = Consumer { log: &self.log, key, cursor, progress };
        consumer.save()?; // from now on nothing that it has not taken is dropped
        Ok(consumer)
    }

    pub fn consumers(&self) -> Result<Vec<(String, Progress)>, Error> {
        let all = self.log.meta()?.into_iter().filter_map(|(key, value)| {
            let name = String::from_utf8_lossy(key.strip_prefix(CONSUMER.as_bytes())?).into_owned();
            let [next_index, output_bytes] = numbers(&value)?;
            Some((name, Progress { next_index, output_bytes }))
        });
        Ok(all.collect())
    }

    /// Ends a consumer: nothing is kept for it any more. Whether there was one.
    pub fn forget(&self, name: &str) -> Result<bool, Error> {
        self.log.meta_delete(format!("{CONSUMER}{name}"))
    }

    /// Drops what every consumer has taken. Where there is none, everything is kept for the first one.
    pub fn trim(&self) -> Result<Range<u64>, Error> {
        if let Some(lowest) = self.consumers()?.iter().map(|(_, progress)| progress.next_index).min() {
            self.log.truncate_front(lowest)?;
        }
        Ok(self.messages())
    }
}

pub struct Consumer<'queue> {
    log: &'queue Log,
    key: String,
    cursor: Cursor,
    progress: Progress,
}

impl Consumer<'_> {
    /// Where it stands: what was done beyond that is to be undone before it goes on.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// The next message, or None if none came in time.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Entry>, Error> {
        loop {
            if let Some(entry) = self.cursor.next_entry()? {
                return Ok(Some(entry));
            }
            if !self.cursor.wait(Some(timeout))? {
                return Ok(None);
            }
        }
    }

    /// Everything up to and with this message is done, and what came of it is durable in so many bytes of output.
    pub fn done(&mut self, index: u64, output_bytes: u64) -> Result<(), Error> {
        self.progress = Progress { next_index: index + 1, output_bytes };
        self.save()
    }

    fn save(&self) -> Result<(), Error> {
        self.log.meta_set(&self.key, text([self.progress.next_index, self.progress.output_bytes]))
    }
}

// ---- Values: decimal numbers, so that a person can read them

fn text<const N: usize>(numbers: [u64; N]) -> String {
    numbers.map(|number| number.to_string()).join(" ")
}

fn numbers<const N: usize>(value: &[u8]) -> Option<[u64; N]> {
    let parsed: Result<Vec<u64>, _> = std::str::from_utf8(value).ok()?.split(' ').map(str::parse).collect();
    parsed.ok()?.try_into().ok()
}
