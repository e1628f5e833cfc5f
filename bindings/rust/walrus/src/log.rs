//! An open log: open, close, bounds, append, durability, truncation. Reads are in read.rs, the rest in files of its own.

use crate::callback::{self, LoggerFn};
use crate::completion::{Completion, PendingAppend};
use crate::error::{check, Error, Result};
use crate::options::{c_string, Options};
use crate::record::{raw_records, Durability, Record};
use crate::shared::{self, Shared};
use crate::{Code, RecoveryReport};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{null_mut, NonNull};
use std::sync::Arc;
use std::time::Duration;
use walrus_sys as sys;

/// An open log. Any number of threads may use it at once, so share it as `&Log` or `Arc<Log>`.
///
/// Besides what each method names, all of them answer [`Code::Closed`] after [`shutdown`](Log::shutdown), [`Code::Forked`] in a forked
/// child, and [`Code::Busy`] from inside a callback that may not call it. Those that answer a number answer 0 then.
///
/// Dropping it closes it, and loses the errors that [`close`](Log::close) would have told.
pub struct Log {
    shared: Arc<Shared>,
    is_open: bool,
}

/// Opens the log in this directory with all defaults, creating it if there is none; [`Options`] says what can be had instead.
pub fn open(directory: impl AsRef<Path>) -> Result<Log> {
    Options::new().open(directory)
}

/// Removes the log in this directory: its own files only, then the directory if it is empty. Durable on return.
///
/// Errors: `NoLog`, `NotALog`, `Locked` (open), `Io`.
pub fn destroy(directory: impl AsRef<Path>) -> Result<()> {
    let directory = c_string(directory.as_ref().as_os_str().as_bytes(), "the log's path")?;
    check(unsafe { sys::walrus_destroy(directory.as_ptr()) })
}

// ---- Open and close

impl Log {
    pub(crate) fn open_with(
        directory: &Path,
        options: *const sys::walrus_options_t,
        logger: Option<Box<LoggerFn>>,
    ) -> Result<Log> {
        let path = c_string(directory.as_os_str().as_bytes(), "the log's path")?;
        let mut log = null_mut();
        check(unsafe { sys::walrus_open(path.as_ptr(), options, &mut log) })?;
        let log = NonNull::new(log).ok_or_else(|| Error::new(Code::Internal, "walrus_open gave no log"))?;
        Ok(Log { shared: Shared::new(log, directory.to_path_buf(), logger), is_open: true })
    }

    pub(crate) fn raw(&self) -> *mut sys::walrus_t {
        self.shared.log.as_ptr()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The directory, as it was given to open.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Writes and syncs what is not yet durable, and marks the log as cleanly closed. Every completion that is still due comes before
    /// it returns. Cursors and transactions of other threads that wait are interrupted; from now on all of them answer [`Code::Closed`].
    /// Entries stay as they are.
    ///
    /// Errors: `Io`, `NoSpace`, `Poisoned`: what was not durable may be lost, the next open tells; the log is closed all the same. `Busy`,
    /// from inside one of the log's callbacks: it is closed by another thread soon after.
    pub fn close(mut self) -> Result<()> {
        self.is_open = false;
        shared::close(&self.shared)
    }

    /// Ends use of the log: every later operation, and every one that waits, answers [`Code::Closed`]. May come beside any other call. What
    /// waited to become durable is in the log, and the close makes it durable.
    pub fn shutdown(&self) -> Result<()> {
        check(unsafe { sys::walrus_shutdown(self.raw()) })
    }

    /// What opening found and did.
    pub fn recovery_report(&self) -> Result<RecoveryReport> {
        RecoveryReport::of(self.raw())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if self.is_open {
            let _ = shared::close(&self.shared);
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

// ---- Append

impl Log {
    /// Appends `data` as the next entry, with the previous entry's term and the time now, and returns its index. How durable it is
    /// then, the option `sync` says.
    ///
    /// Errors: `TooLarge`, `NoSpace`, `NoMemory`, `ReadOnly`, `Invalid`, `Busy`: the entry is certainly not in the log. `Io`, `Poisoned`,
    /// `Closed`: whether it is shows at the next open. `Canceled` ([`interrupt`](Log::interrupt)): it is, [`Error::appended`] says where,
    /// and it is not known to be durable.
    pub fn append(&self, data: impl AsRef<[u8]>) -> Result<u64> {
        let data = data.as_ref();
        let mut index = 0;
        let code = unsafe { sys::walrus_append(self.raw(), data.as_ptr().cast(), data.len(), &mut index) };
        appended(code, index, 1)?;
        Ok(index)
    }

    /// Appends a record with its own index, term and time. Errors: as [`append`](Log::append), and `OutOfOrder`.
    pub fn append_record<'a>(&self, record: impl Into<Record<'a>>, durability: Durability) -> Result<u64> {
        let record = record.into().raw();
        let mut index = 0;
        let code = unsafe { sys::walrus_append_record(self.raw(), &record.raw, durability.flags(), &mut index) };
        appended(code, index, 1)?;
        Ok(index)
    }

    /// Appends records as one batch, after any crash all of them or none, and returns their indexes. Errors: as
    /// [`append_record`](Log::append_record); nothing of the batch is in the log then.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/temporary.rs")); }
    /// # let dir = support::Temporary::new("batch");
    /// # let log = walrus::open(dir.join("log"))?;
    /// use walrus::{Durability, Record};
    /// assert_eq!(log.append_batch(["debit", "credit"], Durability::Durable)?, 1..3);
    /// assert_eq!(log.append_batch([Record::new("vote").term(3)], Durability::ToOs)?, 3..4);
    /// # Ok::<(), walrus::Error>(())
    /// ```
    pub fn append_batch<'a, I>(&self, records: I, durability: Durability) -> Result<Range<u64>>
    where
        I: IntoIterator,
        I::Item: Into<Record<'a>>,
    {
        let records = raw_records(records)?;
        let count = records.len();
        let mut first = 0;
        let array = records.as_ptr().cast::<sys::walrus_record_t>();
        let code = unsafe { sys::walrus_append_batch(self.raw(), array, count, durability.flags(), &mut first) };
        appended(code, first, count as u64)
    }

    /// Appends entries that lie one behind the other in `data`, of these sizes, as one batch. All get the term given and the time now.
    /// Errors: as [`append_batch`](Log::append_batch), and `Invalid` (the sizes do not add up to the bytes).
    pub fn append_packed(&self, data: &[u8], sizes: &[u32], term: u64, durability: Durability) -> Result<Range<u64>> {
        let total: u128 = sizes.iter().map(|size| u128::from(*size)).sum();
        if total != data.len() as u128 {
            let message =
                format!("the sizes add up to {total} bytes, and the data has {}; they must agree", data.len());
            return Err(Error::new(Code::Invalid, message));
        }
        let mut first = 0;
        let (bytes, flags) = (data.as_ptr().cast(), durability.flags());
        let code = unsafe {
            sys::walrus_append_packed(self.raw(), bytes, sizes.as_ptr(), sizes.len(), term, flags, &mut first)
        };
        appended(code, first, sizes.len() as u64)
    }

    /// Appends a record and does not wait until it is durable, to which the library sees at once, whatever `sync` says; `done` is told its
    /// index and that it is, or why that is not known: `Io`, `Poisoned`, or `Closed` (shutdown came first; the close makes it durable).
    ///
    /// `done` is called once for each append that returned an index, in the order of indexes, on the log's completion thread. There, calls
    /// that would wait answer `Busy`; `append_async` itself may be called. If it panics, the panic ends there, told by the panic hook.
    ///
    /// Errors: as [`append_record`](Log::append_record), and `Canceled` (interrupted while it waited for room in `async_max_bytes`: it is
    /// not in the log). `done` is dropped uncalled then.
    pub fn append_async<'a, F>(&self, record: impl Into<Record<'a>>, done: F) -> Result<u64>
    where
        F: FnOnce(u64, Result<()>) + Send + 'static,
    {
        callback::append_async(self.raw(), &record.into().raw().raw, done)
    }

    /// The same as a future, which can also be waited for without an executor: see [`PendingAppend`].
    pub fn append_pending<'a>(&self, record: impl Into<Record<'a>>) -> Result<PendingAppend> {
        let completion = Completion::new();
        let index = self.append_async(record, completion.teller())?;
        Ok(PendingAppend::new(index, completion))
    }
}

/// The indexes of what was appended. On an error they were written if, and only if, the entries are in the log all the same.
pub(crate) fn appended(code: i32, first: u64, count: u64) -> Result<Range<u64>> {
    let indexes = first..first.saturating_add(count);
    match check(code) {
        Ok(()) => Ok(indexes),
        Err(error) if first != 0 => Err(error.with_appended(indexes)),
        Err(error) => Err(error),
    }
}

// ---- Durability

impl Log {
    /// Returns once every entry that was appended before, and all metadata that was staged, is on stable storage.
    /// Errors: `Io`, `NoSpace`, `Poisoned`, `ReadOnly`, `Canceled`.
    pub fn sync(&self) -> Result<()> {
        check(unsafe { sys::walrus_sync(self.raw()) })
    }

    /// The highest index that is known to be on stable storage, or 0.
    pub fn durable_index(&self) -> u64 {
        unsafe { sys::walrus_durable_index(self.raw()) }
    }

    /// Waits until the entry at `index` is durable; `None` waits for ever. Answers whether it is: false if the time is over.
    /// Errors: `NotFound` (above the last index, truncated away), `Canceled`, `Io`, `Poisoned`.
    pub fn wait_durable(&self, index: u64, timeout: Option<Duration>) -> Result<bool> {
        waited(unsafe { sys::walrus_wait_durable(self.raw(), index, milliseconds(timeout)) })
    }

    /// Something for poll, epoll and event loops: readable whenever the durable index has moved (on a read-only log: the last
    /// index). Errors: `Io` (no more descriptors), `NoMemory`.
    pub fn notifier(&self) -> Result<Notifier<'_>> {
        let mut fd = -1;
        check(unsafe { sys::walrus_notify_fd(self.raw(), &mut fd) })?;
        Ok(Notifier { fd, _log: PhantomData })
    }

    /// Ends every wait that began before: durable appends, [`sync`](Log::sync), waits of cursors and asynchronous appends answer
    /// [`Code::Canceled`].
    pub fn interrupt(&self) -> Result<()> {
        check(unsafe { sys::walrus_interrupt(self.raw()) })
    }
}

/// A log's descriptor: readable when the durable index has moved. It belongs to the log; the same one each time.
#[derive(Clone, Copy, Debug)]
pub struct Notifier<'log> {
    fd: RawFd,
    _log: PhantomData<&'log Log>,
}

impl Notifier<'_> {
    /// Makes it unreadable until the next move, and says whether it was readable. Moves in between count as one, so look at
    /// [`Log::durable_index`] afterwards.
    pub fn clear(&self) -> io::Result<bool> {
        // Safety: the descriptor is open as long as the log is, which is borrowed; it is not closed here.
        let mut file = ManuallyDrop::new(unsafe { File::from_raw_fd(self.fd) });
        match file.read(&mut [0; 8]) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Notifier<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // Safety: as above.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }
}

impl AsRawFd for Notifier<'_> {
    fn as_raw_fd(&self) -> RawFd {
        self.fd
    }
}

/// Milliseconds as C has them, rounded up so that nothing waits shorter than it was told.
pub(crate) fn milliseconds(timeout: Option<Duration>) -> i64 {
    timeout.map_or(-1, |time| i64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX))
}

/// TIMEOUT is an answer.
pub(crate) fn waited(code: i32) -> Result<bool> {
    if code == sys::WALRUS_E_TIMEOUT {
        return Ok(false);
    }
    check(code).map(|()| true)
}

// ---- Truncate

impl Log {
    /// Drops every entry after `index`; `first_index() - 1` empties the log. Durable on return.
    /// Errors: `NotFound` (above the last index), `Compacted` (below the first index - 1), `Io`, `NoMemory`, `ReadOnly`, `Poisoned`.
    pub fn truncate(&self, index: u64) -> Result<()> {
        check(unsafe { sys::walrus_truncate(self.raw(), index) })
    }

    /// Drops every entry before `index`; `last_index() + 1` empties the log. Durable on return.
    /// Errors: `NotFound` (above the last index + 1), `Io`, `NoMemory`, `ReadOnly`, `Poisoned`.
    pub fn truncate_front(&self, index: u64) -> Result<()> {
        check(unsafe { sys::walrus_truncate_front(self.raw(), index) })
    }

    /// Drops every entry; the next one gets `next_index`, as after installing a snapshot. Durable on return.
    /// Errors: `Invalid` (0, above 2^63), `Io`, `NoMemory`, `ReadOnly`, `Poisoned`.
    pub fn reset(&self, next_index: u64) -> Result<()> {
        check(unsafe { sys::walrus_reset(self.raw(), next_index) })
    }

    /// Drops every entry from `from` on and appends the records in their place, as one step: after a crash the log has all of the old
    /// suffix or all of the new one. Durable on return. Returns the indexes of the new ones.
    /// Errors: `NotFound` (above the next index), `Compacted` (below the first), and those of [`append_batch`](Log::append_batch).
    pub fn replace_suffix<'a, I>(&self, from: u64, records: I) -> Result<Range<u64>>
    where
        I: IntoIterator,
        I::Item: Into<Record<'a>>,
    {
        let records = raw_records(records)?;
        let array = records.as_ptr().cast::<sys::walrus_record_t>();
        check(unsafe { sys::walrus_replace_suffix(self.raw(), from, array, records.len(), 0) })?;
        Ok(from..from.saturating_add(records.len() as u64))
    }
}
