//! What went wrong: a code to decide by, a sentence for a person, and where it was.

use std::ffi::{c_char, CStr, OsStr};
use std::mem::size_of;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::{fmt, io};
use walrus_sys as sys;

/// What the functions of this crate answer.
pub type Result<T> = std::result::Result<T, Error>;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $raw:ident,)+) => {
        /// The kinds of failure, with the numbers of `walrus.h`. New ones may come, so a `match` needs a `_` arm.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $name,)+
            /// A code that this crate does not know yet.
            Unknown(i32),
        }

        impl Code {
            /// The code of a number of `walrus.h`.
            pub fn from_raw(raw: i32) -> Self {
                match raw {
                    $(sys::$raw => Code::$name,)+
                    other => Code::Unknown(other),
                }
            }

            /// The number in `walrus.h`.
            pub fn raw(self) -> i32 {
                match self {
                    $(Code::$name => sys::$raw,)+
                    Code::Unknown(raw) => raw,
                }
            }
        }
    };
}

codes! {
    /// An argument, option or combination that is never allowed.
    Invalid = WALRUS_E_INVALID,
    /// No such index yet, or no such key.
    NotFound = WALRUS_E_NOT_FOUND,
    /// The index is below the first one: truncated away at the front.
    Compacted = WALRUS_E_COMPACTED,
    /// The record's index is not the next one.
    OutOfOrder = WALRUS_E_OUT_OF_ORDER,
    /// An entry above `max_entry_size`, or a batch above 2 GiB.
    TooLarge = WALRUS_E_TOO_LARGE,
    /// The buffer is too small: [`Error::size_needed`].
    TooSmall = WALRUS_E_TOO_SMALL,
    /// `must_be_new`, but the directory holds a log.
    Exists = WALRUS_E_EXISTS,
    /// The directory holds no log, and none may be created.
    NoLog = WALRUS_E_NO_LOG,
    /// A directory that holds something else, or no directory.
    NotALog = WALRUS_E_NOT_A_LOG,
    /// Written in a newer format than the library knows.
    Version = WALRUS_E_VERSION,
    /// Opened with another format than the log was created with.
    Format = WALRUS_E_FORMAT,
    /// Open already, in this process or another.
    Locked = WALRUS_E_LOCKED,
    /// A write to a log that was opened with `read_only`.
    ReadOnly = WALRUS_E_READ_ONLY,
    /// The system refused a read or a write: [`Error::os_error`].
    Io = WALRUS_E_IO,
    /// Disk full, quota or file-size limit; nothing was appended.
    NoSpace = WALRUS_E_NO_SPACE,
    /// Memory or address space could not be had; nothing was changed.
    NoMemory = WALRUS_E_NO_MEMORY,
    /// Data that had been durable is damaged; offset and index say where.
    Corrupt = WALRUS_E_CORRUPT,
    /// `recovery=strict` found an unfinished tail, which it will not cut.
    Torn = WALRUS_E_TORN,
    /// A write or sync failed: reads go on, writes wait for a reopen.
    Poisoned = WALRUS_E_POISONED,
    /// The log was shut down or closed.
    Closed = WALRUS_E_CLOSED,
    /// The time given is over.
    Timeout = WALRUS_E_TIMEOUT,
    /// [`Log::interrupt`](crate::Log::interrupt) ended the wait.
    Canceled = WALRUS_E_CANCELED,
    /// The cursor is at the end; more may come.
    CaughtUp = WALRUS_E_CAUGHT_UP,
    /// The transaction is no longer open.
    TxnState = WALRUS_E_TXN_STATE,
    /// The transaction's time was over.
    TxnExpired = WALRUS_E_TXN_EXPIRED,
    /// The transaction has `txn_max_entries` already.
    TxnFull = WALRUS_E_TXN_FULL,
    /// The handle was inherited through fork; open the log anew.
    Forked = WALRUS_E_FORKED,
    /// Not now, or not from inside this callback.
    Busy = WALRUS_E_BUSY,
    /// This version of the library does not do that.
    Unsupported = WALRUS_E_UNSUPPORTED,
    /// A bug in libwalrus.
    Internal = WALRUS_E_INTERNAL,
}

impl Code {
    /// Name and meaning, as in `WALRUS_E_TORN: ...`.
    pub fn description(self) -> &'static str {
        // Safety: static memory, also for unknown codes.
        unsafe { CStr::from_ptr(sys::walrus_strerror(self.raw())) }.to_str().unwrap_or("an unknown code")
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description())
    }
}

/// A failed operation.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/temporary.rs")); }
/// # let dir = support::Temporary::new("error");
/// let error = walrus::Options::new().create(false).open(dir.join("nowhere")).unwrap_err();
/// assert_eq!(error.code(), walrus::Code::NoLog);
/// println!("{error}"); // a sentence that a person can act on
/// ```
pub struct Error(Box<Details>);

struct Details {
    code: Code,
    message: String,
    index: u64,
    offset: u64,
    path: Vec<u8>,
    os: Option<io::Error>,
    size_needed: Option<usize>,
    appended: Option<Range<u64>>,
}

impl Error {
    /// What to decide by.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// A sentence that a person can act on; also what `Display` shows.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The system's errno, or 0.
    pub fn os_errno(&self) -> i32 {
        self.0.os.as_ref().and_then(io::Error::raw_os_error).unwrap_or(0)
    }

    /// What the system said; also this error's `source`.
    pub fn os_error(&self) -> Option<&io::Error> {
        self.0.os.as_ref()
    }

    /// The entry concerned, or 0.
    pub fn index(&self) -> u64 {
        self.0.index
    }

    /// Bytes from the start of the file concerned, or 0.
    pub fn offset(&self) -> u64 {
        self.0.offset
    }

    /// The file or directory concerned. A very long path has been cut at its front.
    pub fn path(&self) -> Option<&Path> {
        (!self.0.path.is_empty()).then(|| Path::new(OsStr::from_bytes(&self.0.path)))
    }

    /// How large the buffer would have to be, with [`Code::TooSmall`].
    pub fn size_needed(&self) -> Option<usize> {
        self.0.size_needed
    }

    /// Where the entries are that this call appended although it failed: they are in the log, and not known to be durable. That is
    /// so when [`Log::interrupt`](crate::Log::interrupt) ended the wait ([`Code::Canceled`]), and when only a commit's wait failed.
    pub fn appended(&self) -> Option<Range<u64>> {
        self.0.appended.clone()
    }

    /// The calling thread's last failure, which was answered with `code`.
    pub(crate) fn last(code: i32) -> Self {
        // Safety: all members are numbers, for which zeroes are right; the library writes no further than struct_size.
        let mut raw: sys::walrus_error_t = unsafe { std::mem::zeroed() };
        raw.struct_size = size_of::<sys::walrus_error_t>() as u32;
        let told = unsafe { sys::walrus_last_error(&mut raw) } == sys::WALRUS_OK && raw.code == code;
        if !told {
            return Self::of_code(code);
        }
        Error(Box::new(Details {
            code: Code::from_raw(code),
            message: String::from_utf8_lossy(bytes_of(&raw.message)).into_owned(),
            index: raw.index,
            offset: raw.offset,
            path: bytes_of(&raw.path).to_vec(),
            os: (raw.os_errno != 0).then(|| io::Error::from_raw_os_error(raw.os_errno)),
            size_needed: None,
            appended: None,
        }))
    }

    /// A code that came without details, as a completion's does.
    pub(crate) fn of_code(code: i32) -> Self {
        let code = Code::from_raw(code);
        Self::new(code, code.description())
    }

    /// A failure that this crate found before the library was asked.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Error(Box::new(Details {
            code,
            message: message.into(),
            index: 0,
            offset: 0,
            path: Vec::new(),
            os: None,
            size_needed: None,
            appended: None,
        }))
    }

    pub(crate) fn with_size(mut self, size: usize) -> Self {
        self.0.size_needed = Some(size);
        self
    }

    pub(crate) fn with_appended(mut self, appended: Range<u64>) -> Self {
        self.0.appended = Some(appended);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("code", &self.0.code)
            .field("message", &self.0.message)
            .field("os", &self.0.os)
            .field("index", &self.0.index)
            .field("offset", &self.0.offset)
            .field("path", &self.path())
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.os.as_ref().map(|error| error as _)
    }
}

/// So that `?` works in functions that answer `io::Result`. The walrus error stays inside.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.code() {
            Code::Invalid => io::ErrorKind::InvalidInput,
            Code::NotFound | Code::NoLog => io::ErrorKind::NotFound,
            Code::Exists => io::ErrorKind::AlreadyExists,
            Code::Corrupt | Code::Torn | Code::NotALog => io::ErrorKind::InvalidData,
            Code::Timeout => io::ErrorKind::TimedOut,
            Code::Canceled => io::ErrorKind::Interrupted,
            Code::NoMemory => io::ErrorKind::OutOfMemory,
            _ => error.os_error().map_or(io::ErrorKind::Other, io::Error::kind),
        };
        io::Error::new(kind, error)
    }
}

/// An error for every code below 0.
#[inline]
pub(crate) fn check(code: i32) -> Result<()> {
    if code < 0 {
        return Err(Error::last(code));
    }
    Ok(())
}

/// The bytes before the NUL in an array that C filled.
pub(crate) fn bytes_of(text: &[c_char]) -> &[u8] {
    // Safety: c_char and u8 are alike.
    let bytes = unsafe { std::slice::from_raw_parts(text.as_ptr().cast::<u8>(), text.len()) };
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}
