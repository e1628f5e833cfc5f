//! Settings of a log, collected as values and handed to the library when it is opened.

use crate::callback::{self, LoggerFn};
use crate::error::{check, Code, Error, Result};
use crate::log::Log;
use std::ffi::CString;
use std::fmt;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;
use walrus_sys as sys;

/// When an append returns, its entry is ...
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sync {
    /// ... on stable storage.
    Always,
    /// ... handed to the operating system, and synced in the background.
    Interval,
    /// ... handed to the operating system.
    Os,
    /// ... in memory.
    None,
}

/// What opening does with an unfinished or damaged log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Recovery {
    /// Refuse to cut anything.
    Strict,
    /// Cut an unfinished tail, refuse damage to what had been durable.
    TornTail,
    /// With `read_only`: read whatever is readable.
    Salvage,
}

/// What segment files hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Frames: the quickest, and the smallest.
    Binary,
    /// A line of JSON for each entry.
    Json,
    /// Length-delimited messages of Protocol Buffers.
    Proto,
}

/// What makes payloads smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// Nothing.
    None,
    /// zlib.
    Zlib,
}

/// How much a message of the logger matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// A write, sync or read failed.
    Error,
    /// The log helped itself.
    Warn,
    /// Opened, created, closed.
    Info,
    /// Rotations, segments opened and removed.
    Debug,
}

impl Level {
    pub(crate) fn from_raw(raw: i32) -> Self {
        match raw {
            sys::WALRUS_LOG_ERROR => Level::Error,
            sys::WALRUS_LOG_WARN => Level::Warn,
            sys::WALRUS_LOG_INFO => Level::Info,
            _ => Level::Debug,
        }
    }

    fn raw(self) -> i32 {
        match self {
            Level::Error => sys::WALRUS_LOG_ERROR,
            Level::Warn => sys::WALRUS_LOG_WARN,
            Level::Info => sys::WALRUS_LOG_INFO,
            Level::Debug => sys::WALRUS_LOG_DEBUG,
        }
    }
}

#[derive(Clone, Debug)]
enum Value {
    Text(Vec<u8>),
    Number(u64),
}

/// Settings of a log. What is wrong with one is told by [`open`](Options::open) or [`get`](Options::get).
///
/// ```
/// use walrus::{Options, Sync};
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/temporary.rs")); }
/// # let dir = support::Temporary::new("options");
/// let log = Options::new().sync(Sync::Always).segment_size(16 << 20).set("retention_age_ms", "7d").open(dir.join("log"))?;
/// # Ok::<(), walrus::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Options {
    values: Vec<(Vec<u8>, Value)>,
    logger: Option<(Level, LoggerFn)>,
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $kind:ty => $key:literal, $value:ident => $set:expr;)+) => {
        $($(#[$doc])*
        pub fn $name(self, $value: $kind) -> Self {
            self.with($key, $set)
        })+
    };
}

impl Options {
    /// All defaults.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// Create the log where there is none (default), or answer [`Code::NoLog`].
        create: bool => "create", value => Value::Number(value.into());
        /// [`Code::Exists`] if there is a log already.
        must_be_new: bool => "must_be_new", value => Value::Number(value.into());
        /// Never write; run beside a writer in another process and follow it.
        read_only: bool => "read_only", value => Value::Number(value.into());
        /// What to do with an unfinished tail. Default: [`Recovery::TornTail`].
        recovery: Recovery => "recovery", value => Value::Text(match value {
            Recovery::Strict => b"strict".to_vec(),
            Recovery::TornTail => b"torn_tail".to_vec(),
            Recovery::Salvage => b"salvage".to_vec(),
        });
        /// How durable an append is when it returns. Default: [`Sync::Always`].
        sync: Sync => "sync", value => Value::Text(match value {
            Sync::Always => b"always".to_vec(),
            Sync::Interval => b"interval".to_vec(),
            Sync::Os => b"os".to_vec(),
            Sync::None => b"none".to_vec(),
        });
        /// With [`Sync::Interval`]: the background syncs at the latest this long after an append. Whole milliseconds; default 100 ms.
        sync_interval: Duration => "sync_interval_ms", value => whole_milliseconds(value);
        /// With [`Sync::Interval`]: it also syncs as soon as so many bytes wait; 0: by time alone.
        sync_bytes: u64 => "sync_bytes", bytes => Value::Number(bytes);
        /// Bytes of asynchronous appends that may wait for their completion. Default 64 MiB.
        async_max_bytes: u64 => "async_max_bytes", bytes => Value::Number(bytes);
        /// A segment is full with so many bytes of entries. Default 64 MiB.
        segment_size: u64 => "segment_size", bytes => Value::Number(bytes);
        /// Reserve a segment's space, and have the next one ready. Default true.
        preallocate: bool => "preallocate", value => Value::Number(value.into());
        /// Sealed segments kept open and mapped. Default 512.
        cached_segments: u64 => "cached_segments", count => Value::Number(count);
        /// Bytes of the write buffer. Default 256 KiB.
        buffer_size: u64 => "buffer_size", bytes => Value::Number(bytes);
        /// 0 or 4096: pads each sync, so that no block with acknowledged data is written again.
        sync_padding: u64 => "sync_padding", bytes => Value::Number(bytes);
        /// Permissions of new files, as in `0o640`.
        file_mode: u32 => "file_mode", mode => Value::Number(mode.into());
        /// Check each payload's checksum when it is read. Default true.
        verify_reads: bool => "verify_reads", value => Value::Number(value.into());
        /// Lend views of the mapped file. false: copy, so that a failing disk is an error and never a SIGBUS.
        zero_copy: bool => "zero_copy", value => Value::Number(value.into());
        /// A larger entry is [`Code::TooLarge`]. Default 64 MiB.
        max_entry_size: u64 => "max_entry_size", bytes => Value::Number(bytes);
        /// Keep at most so many segments; 0: no limit.
        max_segments: u64 => "max_segments", count => Value::Number(count);
        /// Keep at most so many bytes of segment files; 0: no limit.
        retention_bytes: u64 => "retention_bytes", bytes => Value::Number(bytes);
        /// Drop segments whose entries are all older; zero: no limit. Whole milliseconds.
        retention_age: Duration => "retention_age_ms", value => whole_milliseconds(value);
        /// What segment files hold. A log keeps the format that it was created with. Default: [`Format::Binary`].
        format: Format => "format", value => Value::Text(match value {
            Format::Binary => b"binary".to_vec(),
            Format::Json => b"json".to_vec(),
            Format::Proto => b"proto".to_vec(),
        });
        /// Compress payloads where that makes them smaller. Default: [`Compression::None`].
        compression: Compression => "compression", value => Value::Text(match value {
            Compression::None => b"none".to_vec(),
            Compression::Zlib => b"zlib".to_vec(),
        });
        /// 0 to 9, or -1: zlib's own choice (default).
        compression_level: i32 => "compression_level", level => Value::Text(level.to_string().into_bytes());
        /// Payloads below so many bytes are not compressed. Default 256.
        compression_min_size: u64 => "compression_min_size", bytes => Value::Number(bytes);
        /// How long a transaction may stay open. Whole milliseconds; default 30 s.
        txn_timeout: Duration => "txn_timeout_ms", value => whole_milliseconds(value);
        /// Entries in one transaction. Default 1000.
        txn_max_entries: u64 => "txn_max_entries", count => Value::Number(count);
    }

    /// Sets any option from text, as in `set("segment_size", "64MiB")`; `walrus.h` lists them, and so does [`options`].
    pub fn set(self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.with(key, Value::Text(value.as_ref().to_vec()))
    }

    /// Sets any option from a number.
    pub fn set_u64(self, key: impl AsRef<[u8]>, value: u64) -> Self {
        self.with(key, Value::Number(value))
    }

    /// Has messages up to `level` told, on whatever thread they arise, possibly on several at once. Inside of it every operation on
    /// the same log answers [`Code::Busy`]. It is kept until the log is closed and its cursors and transactions are dropped.
    pub fn logger(mut self, level: Level, logger: impl Fn(Level, &str) + Send + std::marker::Sync + 'static) -> Self {
        self.logger = Some((level, Arc::new(logger)));
        self
    }

    /// What an option is set to, as text, or what is wrong with these options.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<String> {
        let raw = self.raw(None)?;
        let key = c_string(key.as_ref(), "an option's name")?;
        let mut buffer = vec![0u8; 256];
        loop {
            let mut size = 0;
            let code = unsafe {
                sys::walrus_options_get(
                    raw.0.as_ptr(),
                    key.as_ptr(),
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                    &mut size,
                )
            };
            if code == sys::WALRUS_E_TOO_SMALL {
                buffer.resize(size, 0);
                continue;
            }
            check(code)?;
            buffer.truncate(size.saturating_sub(1));
            return Ok(String::from_utf8_lossy(&buffer).into_owned());
        }
    }

    /// Opens the log in this directory, creating it where the options allow. Its parent must exist.
    ///
    /// Errors: `Invalid` and `Unsupported` (an option), `Exists`, `NoLog`, `NotALog`, `Version`, `Format`, `Locked`, `Io`, `NoSpace`,
    /// `NoMemory`, `Corrupt`, `Torn`, `ReadOnly`.
    pub fn open(&self, directory: impl AsRef<Path>) -> Result<Log> {
        let logger = self.logger.as_ref().map(|(_, logger)| Box::new(Arc::clone(logger)));
        let raw = self.raw(logger.as_deref())?;
        Log::open_with(directory.as_ref(), raw.0.as_ptr(), logger)
    }

    /// Copies the log in `source` into one in `target`, in the format and with the compression that these options say.
    ///
    /// Indexes, terms, timestamps and metadata stay as they are, and everything is read back and compared. `progress` is told how
    /// many of how many entries are done; what it breaks with is returned, and the copy goes on there when it is called again.
    ///
    /// Errors: those of opening either log, `Exists` (the target holds something else), `Invalid` (they are the same log).
    pub fn convert<B>(
        &self,
        source: impl AsRef<Path>,
        target: impl AsRef<Path>,
        progress: impl FnMut(u64, u64) -> ControlFlow<B>,
    ) -> Result<Option<B>> {
        let source = c_string(source.as_ref().as_os_str().as_bytes(), "the source's path")?;
        let target = c_string(target.as_ref().as_os_str().as_bytes(), "the target's path")?;
        let raw = self.raw(None)?;
        callback::convert(&source, &target, raw.0.as_ptr(), progress)
    }

    fn with(mut self, key: impl AsRef<[u8]>, value: Value) -> Self {
        self.values.push((key.as_ref().to_vec(), value));
        self
    }

    /// `logger` must outlive the log that is opened with the result.
    fn raw(&self, logger: Option<&LoggerFn>) -> Result<RawOptions> {
        let raw = RawOptions::new()?;
        for (key, value) in &self.values {
            let key = c_string(key, "an option's name")?;
            check(match value {
                Value::Number(number) => unsafe { sys::walrus_options_set_u64(raw.0.as_ptr(), key.as_ptr(), *number) },
                Value::Text(text) => {
                    let text = c_string(text, "an option's value")?;
                    unsafe { sys::walrus_options_set(raw.0.as_ptr(), key.as_ptr(), text.as_ptr()) }
                }
            })?;
        }
        if let (Some((level, _)), Some(logger)) = (&self.logger, logger) {
            let ctx = (logger as *const LoggerFn).cast_mut().cast();
            check(unsafe { sys::walrus_options_set_logger(raw.0.as_ptr(), Some(callback::logged), ctx, level.raw()) })?;
        }
        Ok(raw)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (key, value) in &self.values {
            let key = String::from_utf8_lossy(key);
            match value {
                Value::Text(text) => map.entry(&key, &String::from_utf8_lossy(text)),
                Value::Number(number) => map.entry(&key, number),
            };
        }
        map.finish()
    }
}

/// One that is not whole, or too long for 64 bits, is no number that the library takes: what is wrong is said there.
fn whole_milliseconds(time: Duration) -> Value {
    match u64::try_from(time.as_millis()) {
        Ok(milliseconds) if time.subsec_nanos() % 1_000_000 == 0 => Value::Number(milliseconds),
        _ => Value::Text(format!("{time:?}").into_bytes()),
    }
}

struct RawOptions(NonNull<sys::walrus_options_t>);

impl RawOptions {
    fn new() -> Result<Self> {
        NonNull::new(unsafe { sys::walrus_options_new() })
            .map(RawOptions)
            .ok_or_else(|| Error::new(Code::NoMemory, "there is no memory for the options"))
    }
}

impl Drop for RawOptions {
    fn drop(&mut self) {
        unsafe { sys::walrus_options_free(self.0.as_ptr()) }
    }
}

/// What the library tells of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OptionInfo {
    /// Its name.
    pub key: &'static str,
    /// Its default, as text.
    pub default: &'static str,
    /// What is allowed, in words.
    pub allowed: &'static str,
}

/// All options that the library knows.
pub fn options() -> Vec<OptionInfo> {
    let mut found = Vec::new();
    let told = callback::each_option(|key, default, allowed| {
        found.push(OptionInfo { key, default, allowed });
        ControlFlow::<()>::Continue(())
    });
    debug_assert!(told.is_ok());
    found
}

/// Bytes as C takes them, which cannot hold a NUL.
pub(crate) fn c_string(bytes: &[u8], what: &str) -> Result<CString> {
    CString::new(bytes).map_err(|_| Error::new(Code::Invalid, format!("{what} holds a NUL byte; it must not")))
}
