//! libwalrus, an embeddable write-ahead log, made safe: a log is a directory of segment files, an entry your bytes at an index.
//!
//! ```
//! # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/temporary.rs")); }
//! # let dir = support::Temporary::new("lib");
//! # let path = dir.join("orders");
//! let log = walrus::open(&path)?;
//! let index = log.append("hello")?; // durable on return
//! let entry = log.get(index)?; // no copy: it lends the mapped file's bytes
//! assert_eq!(&entry[..], b"hello");
//! log.close()?; // dropping closes as well, and loses the errors
//! # Ok::<(), walrus::Error>(())
//! ```
//!
//! What the borrow checker and types see to: an entry's bytes do not outlive it, a closed log cannot be called, cursors and transactions
//! stay with one thread at a time, a panic in a closure does not unwind through C. Cursors, transactions and entries may outlive the log. Nothing
//! here can be misused into a crash, with two exceptions that no binding can prevent: with the option `zero_copy` a disk that fails under a
//! mapped file, and with it somebody who truncates the files by other means, is a SIGBUS (`zero_copy(false)` makes errors of it); and a handle
//! that was forged with `unsafe`.
//!
//! `include/walrus.h` says in full what each function does; this crate's pages say it in short. `docs/rust.md` leads through it.
#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

mod callback;
mod completion;
mod cursor;
mod entry;
mod error;
mod log;
mod metadata;
mod operations;
mod options;
mod read;
mod record;
mod shared;
mod transaction;

pub use completion::PendingAppend;
pub use cursor::{Cursor, Follow};
pub use entry::{Entry, EntryRef};
pub use error::{Code, Error, Result};
pub use log::{destroy, open, Log, Notifier};
pub use operations::{RecoveryReason, RecoveryReport, Segment, Stats};
pub use options::{options, Compression, Format, Level, OptionInfo, Options, Recovery, Sync};
pub use read::{Entries, Packed};
pub use record::{Durability, Record};
pub use transaction::{Transaction, TransactionState};

use walrus_sys as sys;

/// The library's version, as "major.minor.patch".
pub fn version() -> &'static str {
    // Safety: static memory.
    unsafe { std::ffi::CStr::from_ptr(sys::walrus_version()) }.to_str().unwrap_or_default()
}

/// The library's version as major * 10000 + minor * 100 + patch.
pub fn version_number() -> u32 {
    unsafe { sys::walrus_version_number() }
}

/// The version of the binary interface: the number in the library's soname.
pub fn abi_version() -> u32 {
    unsafe { sys::walrus_abi_version() }
}

/// CRC-32 (IEEE 802.3): the value of zlib's crc32 and of [`Entry::checksum`].
pub fn crc32(data: &[u8]) -> u32 {
    unsafe { sys::walrus_crc32(data.as_ptr().cast(), data.len()) }
}
