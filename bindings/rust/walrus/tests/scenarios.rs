// scenarios.rs - runs Tests/scenarios through this crate; README.md there defines the lines
//
// A program of its own instead of a list of tests: the files are found when it runs. An argument is part of a file's name.
mod support;

use std::collections::HashMap;
use std::ffi::CString;
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;
use std::{env, fs, process, thread};
use support::{c, is_readable, Temporary};
use walrus::{
    Code, Cursor, Durability, Entry, Error, Log, Options, Record, RecoveryReason, Transaction, TransactionState,
};

const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../Tests/scenarios");

// ---- What came, and what stops a line

enum Came {
    Number(u64),
    Signed(i64),
    Bytes(Vec<u8>),
    Word(String),
    Pair(Vec<u8>, Vec<u8>),
}

use Came::*;

enum Stop {
    /// The library's answer, as name and required size, with its message.
    Failed(String, Option<u64>, String),
    /// The scenario is wrong, or something that no line can expect.
    Wrong(String),
    Skipped(String),
}

type Answer = Result<Vec<Came>, Stop>;

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        let name = name_of(error.code());
        Stop::Failed(name, error.size_needed().map(|size| size as u64), error.message().to_string())
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Stop::Wrong(error.to_string())
    }
}

fn name_of(code: Code) -> String {
    let name = code.description().split(':').next().unwrap_or_default();
    name.strip_prefix("WALRUS_E_").unwrap_or(name).to_string()
}

/// What C answers with a code, and this crate with a value.
fn answer(name: &str) -> Stop {
    Stop::Failed(name.into(), None, String::new())
}

fn wrong<T>(message: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Wrong(message.into()))
}

// ---- Tokens

fn number(token: &str) -> Result<u64, Stop> {
    if token == "max" {
        return Ok(u64::MAX);
    }
    token.parse().or_else(|_| wrong(format!("{token:?} is not a number")))
}

fn signed(token: &str) -> Result<i64, Stop> {
    token.parse().or_else(|_| wrong(format!("{token:?} is not a signed number")))
}

fn bytes(token: &str) -> Result<Vec<u8>, Stop> {
    let (once, times) = match token.split_once('*') {
        Some((once, times)) => (once, number(times)? as usize),
        None if token == "-" => ("", 1),
        None => (token, 1),
    };
    let mut result = Vec::new();
    let mut rest = once.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            result.push(byte);
            continue;
        }
        let digits: Vec<u8> = rest.by_ref().take(2).collect();
        let parsed = std::str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
        result.push(parsed.map_or_else(|| wrong(format!("a wrong escape in {token:?}")), Ok)?);
    }
    Ok(result.repeat(times))
}

/// A record and its payload's owner.
struct Given {
    data: Vec<u8>,
    term: u64,
    index: u64,
    timestamp_ns: i64,
}

impl Given {
    fn parse(token: &str) -> Result<Self, Stop> {
        let mut fields = token.split(',');
        Ok(Given {
            data: bytes(fields.next().unwrap_or_default())?,
            term: fields.next().map_or(Ok(0), number)?,
            index: fields.next().map_or(Ok(0), number)?,
            timestamp_ns: fields.next().map_or(Ok(0), signed)?,
        })
    }

    fn record(&self) -> Record<'_> {
        Record::new(&self.data).term(self.term).index(self.index).timestamp_ns(self.timestamp_ns)
    }
}

fn durability(token: &str) -> Result<Durability, Stop> {
    match token {
        "default" => Ok(Durability::AsOpened),
        "durable" => Ok(Durability::Durable),
        "os" => Ok(Durability::ToOs),
        "buffered" => Ok(Durability::Buffered),
        _ => wrong(format!("{token:?} is no flag")),
    }
}

fn timeout(token: &str) -> Result<Option<Duration>, Stop> {
    Ok(u64::try_from(signed(token)?).ok().map(Duration::from_millis))
}

/// The arguments of a line, taken one by one.
struct Arguments<'a>(std::iter::Copied<std::slice::Iter<'a, &'a str>>);

impl<'a> Arguments<'a> {
    fn token(&mut self) -> Result<&'a str, Stop> {
        self.0.next().map_or_else(|| wrong("the operation needs another argument"), Ok)
    }

    fn number(&mut self) -> Result<u64, Stop> {
        number(self.token()?)
    }

    fn bytes(&mut self) -> Result<Vec<u8>, Stop> {
        bytes(self.token()?)
    }

    fn rest(&mut self) -> Vec<&'a str> {
        self.0.by_ref().collect()
    }

    fn records(&mut self) -> Result<Vec<Given>, Stop> {
        self.rest().into_iter().map(Given::parse).collect()
    }
}

// ---- The state of a scenario

type Told = (u64, Result<(), Error>);

struct Scenario {
    directory: PathBuf,
    logs: HashMap<String, Log>,
    cursors: HashMap<String, Cursor>,
    transactions: HashMap<String, Transaction>,
    message: String,
    told: (Sender<Told>, Receiver<Told>),
    expected: usize,
}

fn keep<T>(table: &mut HashMap<String, T>, name: &str, value: T) -> Answer {
    match table.insert(name.into(), value) {
        None => Ok(vec![]),
        Some(_) => wrong(format!("there is one called {name} already")),
    }
}

fn find<'a, T>(table: &'a mut HashMap<String, T>, name: &str) -> Result<&'a mut T, Stop> {
    table.get_mut(name).map_or_else(|| wrong(format!("there is nothing open called {name}")), Ok)
}

fn take<T>(table: &mut HashMap<String, T>, name: &str) -> Result<T, Stop> {
    table.remove(name).map_or_else(|| wrong(format!("there is nothing open called {name}")), Ok)
}

fn checked(entry: &Entry, index: u64) -> Result<Came, Stop> {
    if entry.index() != index || entry.checksum() != walrus::crc32(entry.data()) {
        return wrong(format!("entry {index} says index {} and checksum {}", entry.index(), entry.checksum()));
    }
    Ok(Bytes(entry.to_vec()))
}

fn too_small(size: usize, capacity: u64) -> Result<(), Stop> {
    if size as u64 > capacity {
        return Err(Stop::Failed("TOO_SMALL".into(), Some(size as u64), String::new()));
    }
    Ok(())
}

impl Scenario {
    fn new(directory: PathBuf) -> Self {
        Scenario {
            directory,
            logs: HashMap::new(),
            cursors: HashMap::new(),
            transactions: HashMap::new(),
            message: String::new(),
            told: mpsc::channel(),
            expected: 0,
        }
    }

    fn run(&mut self, file: &Path) -> Result<(), Stop> {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for (number, line) in fs::read_to_string(file)?.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match self.run_line(line) {
                Err(Stop::Wrong(message)) => return wrong(format!("{name}:{}: {message}", number + 1)),
                result => result?,
            }
        }
        self.cursors.clear();
        for (_, transaction) in self.transactions.drain() {
            transaction.rollback()?;
        }
        for (_, log) in self.logs.drain() {
            log.close()?;
        }
        Ok(())
    }

    fn run_line(&mut self, line: &str) -> Result<(), Stop> {
        let tokens: Vec<&str> = line.split(' ').collect();
        let arrow = tokens.iter().position(|token| *token == "->");
        let (left, results) = tokens.split_at(arrow.unwrap_or(tokens.len()));
        let results = arrow.map(|_| &results[1..]);
        let (handle, left) = match left[0].strip_prefix('@') {
            Some(handle) => (handle, &left[1..]),
            None => ("main", left),
        };
        let mut arguments = Arguments(left[1..].iter().copied());
        let came = self.operation(left[0], handle, &mut arguments);
        if came.is_ok() && !arguments.rest().is_empty() {
            return wrong(format!("{} takes fewer arguments", left[0]));
        }
        match (came, results) {
            (Ok(_), None) => Ok(()),
            (Ok(came), Some(results)) => compare(results, &came),
            (Err(Stop::Failed(name, size, message)), results) => {
                self.message = message;
                match results {
                    Some(["error", expected]) if *expected == name => Ok(()),
                    Some(["error", expected, needed]) if *expected == name && Some(number(needed)?) == size => Ok(()),
                    _ => wrong(format!("{results:?} was expected, and error {name} {size:?} came: {}", self.message)),
                }
            }
            (Err(other), _) => Err(other),
        }
    }

    fn operation(&mut self, name: &str, handle: &str, arguments: &mut Arguments) -> Answer {
        match name {
            "needs" => self.needs(arguments),
            "version" | "strerror" | "crc32" | "message" | "option" | "option_u64" | "option_default" => {
                self.without_log(name, arguments)
            }
            "open" | "close" | "destroy" | "file" | "crash" | "damage" | "sleep" => self.place(name, handle, arguments),
            _ if name.starts_with("cursor_") && name != "cursor_open" => self.cursor(name, arguments),
            "txn_append" | "txn_commit" | "txn_rollback" | "txn_state" => self.transaction(name, arguments),
            "async" | "completions" => self.asynchronous(name, handle, arguments),
            "cursor_open" => {
                let (name, index, which) = (arguments.token()?, arguments.number()?, arguments.token()?);
                let log = find(&mut self.logs, handle)?;
                let cursor = if which == "durable" { log.durable_cursor(index)? } else { log.cursor(index)? };
                keep(&mut self.cursors, name, cursor)
            }
            "txn_begin" => {
                let (name, timeout_ms) = (arguments.token()?, arguments.token()?);
                let log = find(&mut self.logs, handle)?;
                let begun =
                    if timeout_ms == "0" { log.transaction()? } else { log.transaction_for(timeout(timeout_ms)?)? };
                keep(&mut self.transactions, name, begun)
            }
            _ => {
                let log = find(&mut self.logs, handle)?;
                match append(log, name, arguments)? {
                    Some(came) => Ok(came),
                    None => match read(log, name, arguments)? {
                        Some(came) => Ok(came),
                        None => operate(log, name, arguments),
                    },
                }
            }
        }
    }

    fn needs(&self, arguments: &mut Arguments) -> Answer {
        for function in arguments.rest() {
            let name = CString::new(function).unwrap_or_default();
            // The library's functions are linked: a scenario could be skipped only where one is not declared yet.
            if unsafe { c::dlsym(std::ptr::null_mut(), name.as_ptr()) }.is_null() {
                return Err(Stop::Skipped(format!("the library has no {function}")));
            }
        }
        Ok(vec![])
    }

    fn without_log(&self, name: &str, arguments: &mut Arguments) -> Answer {
        let came = match name {
            "version" => {
                let number = walrus::version_number();
                let text = format!("{}.{}.{}", number / 10000, number / 100 % 100, number % 100);
                if text != walrus::version() {
                    return wrong(format!("the version is {}, and its number {text}", walrus::version()));
                }
                Number(walrus::abi_version().into())
            }
            "strerror" => {
                let code = signed(arguments.token()?)? as i32;
                // A success is no Code here, and has a text all the same.
                let text = Code::from_raw(code).description();
                Bytes(text.split(':').next().unwrap_or_default().into())
            }
            "crc32" => Number(walrus::crc32(&arguments.bytes()?).into()),
            "message" => {
                let text = String::from_utf8_lossy(&arguments.bytes()?).into_owned();
                if !self.message.contains(&text) {
                    return wrong(format!("the message does not contain {text:?}: {}", self.message));
                }
                return Ok(vec![]);
            }
            "option" => {
                let (key, value) = (arguments.token()?, arguments.bytes()?);
                Bytes(Options::new().set(key, value).get(key)?.into())
            }
            "option_u64" => {
                let (key, value) = (arguments.token()?, arguments.number()?);
                Bytes(Options::new().set_u64(key, value).get(key)?.into())
            }
            _ => {
                let key = arguments.token()?;
                let option = walrus::options().into_iter().find(|option| option.key == key);
                Bytes(option.map_or_else(|| wrong(format!("there is no option {key}")), Ok)?.default.into())
            }
        };
        Ok(vec![came])
    }

    fn place(&mut self, name: &str, handle: &str, arguments: &mut Arguments) -> Answer {
        match name {
            "open" => {
                let mut options = Options::new();
                for setting in arguments.rest() {
                    let Some((key, value)) = setting.split_once('=') else {
                        return wrong(format!("{setting:?} is not KEY=VALUE"));
                    };
                    options = options.set(key, bytes(value)?);
                }
                let log = options.open(&self.directory)?;
                return keep(&mut self.logs, handle, log);
            }
            "close" => take(&mut self.logs, handle)?.close()?,
            "destroy" => walrus::destroy(&self.directory)?,
            "file" => {
                fs::create_dir_all(&self.directory)?;
                let file = self.directory.join(arguments.token()?);
                fs::write(file, arguments.bytes()?)?;
            }
            "crash" => {
                let aside = self.directory.with_extension("crashed");
                copy_files(&self.directory, &aside)?;
                take(&mut self.logs, handle)?.close()?;
                fs::remove_dir_all(&self.directory)?;
                fs::rename(&aside, &self.directory)?;
            }
            "damage" => damage(&self.directory, &arguments.bytes()?)?,
            _ => thread::sleep(Duration::from_millis(arguments.number()?)),
        }
        Ok(vec![])
    }

    fn cursor(&mut self, name: &str, arguments: &mut Arguments) -> Answer {
        let which = arguments.token()?;
        if name == "cursor_close" {
            return take(&mut self.cursors, which).map(|_| vec![]);
        }
        let cursor = find(&mut self.cursors, which)?;
        match name {
            "cursor_next" | "cursor_prev" => {
                let is_next = name == "cursor_next";
                let entry = if is_next { cursor.next_entry()? } else { cursor.prev_entry()? };
                // Where there is none, C answers with a code.
                let entry = entry.ok_or_else(|| answer(if is_next { "CAUGHT_UP" } else { "NOT_FOUND" }))?;
                Ok(vec![Number(entry.index()), checked(&entry, entry.index())?])
            }
            "cursor_seek" => cursor.seek(arguments.number()?).map(|()| vec![]).map_err(Stop::from),
            "cursor_position" => Ok(vec![Number(cursor.position())]),
            "cursor_wait" => match cursor.wait(timeout(arguments.token()?)?)? {
                true => Ok(vec![]),
                false => Err(answer("TIMEOUT")),
            },
            _ => wrong(format!("there is no operation {name}")),
        }
    }

    fn transaction(&mut self, name: &str, arguments: &mut Arguments) -> Answer {
        let which = arguments.token()?;
        let transaction = find(&mut self.transactions, which)?;
        match name {
            "txn_append" => {
                let given = Given::parse(arguments.token()?)?;
                transaction.append(given.record())?;
                Ok(vec![])
            }
            "txn_commit" => {
                let indexes = transaction.commit(durability(arguments.token()?)?)?;
                self.transactions.remove(which);
                Ok(vec![Number(indexes.start), Number(indexes.end - indexes.start)])
            }
            "txn_rollback" => take(&mut self.transactions, which)?.rollback().map(|()| vec![]).map_err(Stop::from),
            _ => {
                let word = match transaction.state()? {
                    TransactionState::Open => "open",
                    TransactionState::Expired => "expired",
                    TransactionState::Committed => "committed",
                    _ => "unknown",
                };
                Ok(vec![Word(word.into())])
            }
        }
    }

    fn asynchronous(&mut self, name: &str, handle: &str, arguments: &mut Arguments) -> Answer {
        if name == "async" {
            let given = Given::parse(arguments.token()?)?;
            let told = self.told.0.clone();
            let log = find(&mut self.logs, handle)?;
            let index = log.append_async(given.record(), move |index, result| drop(told.send((index, result))))?;
            self.expected += 1;
            return Ok(vec![Number(index)]);
        }
        let mut came = Vec::new();
        for told in 0..std::mem::take(&mut self.expected) {
            match self.told.1.recv_timeout(Duration::from_secs(30)) {
                Ok((index, Ok(()))) => came.push(Number(index)),
                Ok((index, Err(error))) => return wrong(format!("the append of {index} completed with {error:?}")),
                Err(_) => return wrong(format!("only {told} appends were reported")),
            }
        }
        Ok(came)
    }
}

// ---- Operations of a log. None: the operation is in another group.

fn append(log: &Log, name: &str, arguments: &mut Arguments) -> Result<Option<Vec<Came>>, Stop> {
    let first = match name {
        "append" => log.append(arguments.bytes()?)?,
        "record" => {
            let flags = durability(arguments.token()?)?;
            log.append_record(Given::parse(arguments.token()?)?.record(), flags)?
        }
        "batch" => {
            let flags = durability(arguments.token()?)?;
            let records = arguments.records()?;
            log.append_batch(records.iter().map(Given::record), flags)?.start
        }
        "packed" => {
            let (flags, term) = (durability(arguments.token()?)?, arguments.number()?);
            let payloads = arguments.rest().into_iter().map(bytes).collect::<Result<Vec<_>, _>>()?;
            let sizes: Vec<u32> = payloads.iter().map(|payload| payload.len() as u32).collect();
            log.append_packed(&payloads.concat(), &sizes, term, flags)?.start
        }
        "replace_suffix" => {
            // It is durable whatever the flags say, so the crate has none.
            let (from, _) = (arguments.number()?, durability(arguments.token()?)?);
            log.replace_suffix(from, arguments.records()?.iter().map(Given::record))?;
            return Ok(Some(vec![]));
        }
        _ => return Ok(None),
    };
    Ok(Some(vec![Number(first)]))
}

fn read(log: &Log, name: &str, arguments: &mut Arguments) -> Result<Option<Vec<Came>>, Stop> {
    let came = match name {
        "get" => {
            let index = arguments.number()?;
            let entry = log.get(index)?;
            vec![checked(&entry, index)?, Number(entry.term()), Signed(entry.timestamp_ns())]
        }
        "read" => {
            let (index, capacity) = (arguments.number()?, arguments.number()?);
            let mut buffer = vec![0; capacity as usize];
            let size = log.read(index, &mut buffer)?;
            buffer.truncate(size);
            vec![Bytes(buffer)]
        }
        "scan" => scan(log, arguments)?,
        "range" => {
            let (first, last) = (arguments.number()?, arguments.number()?);
            let (max_bytes, capacity) = (arguments.number()? as usize, arguments.number()? as usize);
            let entries = log.get_range(first..=last, max_bytes, capacity)?;
            (first..).zip(&entries).map(|(index, entry)| checked(entry, index)).collect::<Result<_, _>>()?
        }
        "read_packed" => {
            let (first, count, capacity) = (arguments.number()?, arguments.number()?, arguments.number()?);
            let packed = log.read_packed(first, count as usize, capacity as usize)?;
            packed.iter().map(|payload| Bytes(payload.to_vec())).collect()
        }
        "term" => vec![Number(log.term(arguments.number()?)?)],
        "last_index_of_term" => {
            vec![Number(log.last_index_of_term(arguments.number()?)?.ok_or_else(|| answer("NOT_FOUND"))?)]
        }
        "seek_time" => {
            vec![Number(log.seek_time(signed(arguments.token()?)?)?.ok_or_else(|| answer("NOT_FOUND"))?)]
        }
        _ => return Ok(None),
    };
    Ok(Some(came))
}

fn scan(log: &Log, arguments: &mut Arguments) -> Answer {
    let (first, last, most) = (arguments.number()?, arguments.number()?, arguments.number()?);
    let mut found = Vec::new();
    let ended = log.scan(first..=last, |entry| {
        let is_right = entry.index() == first + found.len() as u64 && entry.checksum() == walrus::crc32(entry.data());
        found.push(Bytes(entry.data().to_vec()));
        match found.len() as u64 == most {
            _ if !is_right => ControlFlow::Break(Err(entry.index())),
            true => ControlFlow::Break(Ok(7)),
            false => ControlFlow::Continue(()),
        }
    })?;
    let expected = (most != 0 && found.len() as u64 == most).then_some(Ok(7));
    if ended != expected {
        return wrong(format!("the scan answered {ended:?} after {} entries", found.len()));
    }
    Ok(found)
}

fn operate(log: &Log, name: &str, arguments: &mut Arguments) -> Answer {
    let came = match name {
        "bounds" => vec![Number(log.first_index()), Number(log.last_index()), Number(log.next_index())],
        "durable" => vec![Number(log.durable_index())],
        "txn_count" => vec![Number(log.transaction_count())],
        "txn_expire" => vec![Number(log.expire_transactions()?)],
        "recovery" => {
            let report = log.recovery_report()?;
            let word = match report.reason {
                RecoveryReason::Clean => "clean",
                RecoveryReason::Complete => "complete",
                RecoveryReason::Torn => "torn",
                RecoveryReason::Batch => "batch",
                RecoveryReason::Reordered => "reordered",
                _ => "unknown",
            };
            vec![Word(word.into()), Number(report.entries_cut)]
        }
        "wait_durable" => match log.wait_durable(arguments.number()?, timeout(arguments.token()?)?)? {
            true => vec![],
            false => return Err(answer("TIMEOUT")),
        },
        "notify" => {
            let timeout_ms = signed(arguments.token()?)? as i32;
            let notifier = log.notifier()?;
            let readable = is_readable(notifier.as_raw_fd(), timeout_ms);
            if readable != notifier.clear()? {
                return wrong("poll and read do not agree");
            }
            vec![Word(if readable { "readable" } else { "quiet" }.into())]
        }
        "meta_get" => {
            let (key, capacity) = (arguments.bytes()?, arguments.number()?);
            let value = log.meta_get(key)?.ok_or_else(|| answer("NOT_FOUND"))?;
            too_small(value.len(), capacity)?;
            vec![Bytes(value)]
        }
        "meta_list" => log.meta()?.into_iter().map(|(key, value)| Pair(key, value)).collect(),
        "segments" => {
            let segments = log.segments()?.into_iter();
            segments.map(|segment| Word(format!("{}:{}", segment.first_index, segment.last_index))).collect()
        }
        "stats" => vec![Number(field(&log.stats()?, arguments.token()?)?)],
        "stats_text" => {
            let (name, text) = (arguments.token()?, log.stats_text()?);
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            vec![Number(line.map_or_else(|| wrong(format!("the text has no line for {name}")), number)?)]
        }
        _ => {
            match name {
                "shutdown" => log.shutdown()?,
                "sync" => log.sync()?,
                "interrupt" => log.interrupt()?,
                "rotate" => log.rotate()?,
                "truncate" => log.truncate(arguments.number()?)?,
                "truncate_front" => log.truncate_front(arguments.number()?)?,
                "reset" => log.reset(arguments.number()?)?,
                "meta_set" => log.meta_set(arguments.bytes()?, arguments.bytes()?)?,
                "meta_stage" => log.meta_stage(arguments.bytes()?, arguments.bytes()?)?,
                "meta_delete" if !log.meta_delete(arguments.bytes()?)? => return Err(answer("NOT_FOUND")),
                "meta_delete" => {}
                _ => return wrong(format!("there is no operation {name}")),
            }
            vec![]
        }
    };
    Ok(came)
}

/// A field by its name, out of what Debug prints: all of them are there.
fn field(stats: &walrus::Stats, name: &str) -> Result<u64, Stop> {
    if name == "is_poisoned" {
        return Ok(stats.is_poisoned.into());
    }
    let text = format!("{stats:?}");
    let value = text.split([' ', ',']).skip_while(|word| *word != format!("{name}:")).nth(1);
    value.map_or_else(|| wrong(format!("Stats has no field {name}")), number)
}

// ---- Files

fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir(to)?;
    for file in fs::read_dir(from)? {
        let file = file?;
        fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}

fn damage(directory: &Path, content: &[u8]) -> Result<(), Stop> {
    let mut found = Vec::new();
    for file in fs::read_dir(directory)? {
        let path = file?.path();
        if path.extension().is_some_and(|end| end == "wal") {
            let data = fs::read(&path)?;
            let places = data.windows(content.len()).enumerate().filter(|(_, window)| *window == content);
            found.extend(places.map(|(at, _)| (path.clone(), at)));
        }
    }
    let [(path, at)] = &found[..] else {
        return wrong(format!("these bytes are in the segments {} times, not once", found.len()));
    };
    use std::os::unix::fs::FileExt;
    let file = fs::OpenOptions::new().write(true).open(path)?;
    file.write_all_at(&[content[0] ^ 1], *at as u64)?;
    Ok(())
}

// ---- Comparing and running

fn agrees(expected: &str, came: &Came) -> Result<bool, Stop> {
    if expected == "*" {
        return Ok(true);
    }
    Ok(match came {
        Number(came) => number(expected)? == *came,
        Signed(came) => signed(expected)? == *came,
        Bytes(came) => bytes(expected)? == *came,
        Word(came) => expected == came,
        Pair(key, value) => match expected.split_once(',') {
            Some((expected_key, expected_value)) => bytes(expected_key)? == *key && bytes(expected_value)? == *value,
            None => false,
        },
    })
}

fn show(came: &Came) -> String {
    let clip = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
    match came {
        Number(number) => number.to_string(),
        Signed(number) => number.to_string(),
        Bytes(bytes) => format!("{:?} ({} bytes)", clip(bytes), bytes.len()),
        Word(word) => word.clone(),
        Pair(key, value) => format!("{:?},{:?}", clip(key), clip(value)),
    }
}

fn compare(expected: &[&str], came: &[Came]) -> Result<(), Stop> {
    let mut same = expected.len() == came.len();
    for (expected, came) in expected.iter().zip(came) {
        same &= agrees(expected, came)?;
    }
    if !same {
        let came: Vec<String> = came.iter().map(show).collect();
        return wrong(format!("{expected:.60?} was expected, and {came:?} came"));
    }
    Ok(())
}

fn main() {
    let wanted: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let mut files: Vec<PathBuf> = fs::read_dir(SCENARIOS)
        .unwrap_or_else(|error| panic!("{SCENARIOS}: {error}"))
        .filter_map(|file| file.ok().map(|file| file.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "scenario"))
        .filter(|path| wanted.is_empty() || wanted.iter().any(|part| path.to_string_lossy().contains(part)))
        .collect();
    files.sort();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for file in &files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let place = Temporary::new("scenario");
        let mut scenario = Scenario::new(place.join("log"));
        match scenario.run(file) {
            Ok(()) => (passed += 1, println!("test {name} ... ok")),
            Err(Stop::Skipped(reason)) => (skipped += 1, println!("test {name} ... ignored, {reason}")),
            Err(Stop::Wrong(message)) => (failed += 1, println!("test {name} ... FAILED\n    {message}")),
            Err(Stop::Failed(code, _, message)) => {
                (failed += 1, println!("test {name} ... FAILED\n    at its end: {code}: {message}"))
            }
        };
    }
    let result = if failed == 0 && passed > 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {result}. {passed} passed; {failed} failed; {skipped} ignored; 0 measured; 0 filtered out"
    );
    process::exit(i32::from(failed > 0 || (passed == 0 && wanted.is_empty())));
}
