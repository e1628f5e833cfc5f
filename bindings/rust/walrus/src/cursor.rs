//! A position in a log that moves, and waits for more.

use crate::entry::Entry;
use crate::error::{check, Code, Error, Result};
use crate::log::{milliseconds, waited, Log};
use crate::shared::Shared;
use std::fmt;
use std::ptr::{null_mut, NonNull};
use std::sync::Arc;
use std::time::Duration;
use walrus_sys as sys;

impl Log {
    /// A cursor before the entry at `index`; 0 is the first entry, whichever that is; up to the next index.
    /// Errors: `NotFound` (above the next index), `Compacted` (below the first), `NoMemory`.
    pub fn cursor(&self, index: u64) -> Result<Cursor> {
        self.open_cursor(index, 0)
    }

    /// The same for entries that are durable only: behind them it is at the end.
    pub fn durable_cursor(&self, index: u64) -> Result<Cursor> {
        self.open_cursor(index, sys::WALRUS_DURABLE_ONLY)
    }

    fn open_cursor(&self, index: u64, flags: u32) -> Result<Cursor> {
        let mut cursor = null_mut();
        check(unsafe { sys::walrus_cursor_open(self.raw(), index, flags, &mut cursor) })?;
        let cursor =
            NonNull::new(cursor).ok_or_else(|| Error::new(Code::Internal, "walrus_cursor_open gave no cursor"))?;
        Ok(Cursor { cursor, shared: Arc::clone(self.shared()) })
    }
}

/// A cursor stands between two entries, and reads the one behind it or the one before it. Where the log is truncated below it, it goes back
/// to the cut. It may outlive the log, and answers [`Code::Closed`] then.
///
/// A loop over `&mut cursor` ends where there are no more entries yet; one over [`follow`](Cursor::follow) waits for them. After an error the cursor
/// stands where it stood.
///
/// It may move to another thread, and belongs to one at a time:
///
/// ```compile_fail,E0277
/// fn share<T: std::marker::Sync>() {}
/// share::<walrus::Cursor>();
/// ```
pub struct Cursor {
    cursor: NonNull<sys::walrus_cursor_t>,
    shared: Arc<Shared>,
}

// Safety: a cursor belongs to one thread at a time, not to the one that opened it.
unsafe impl Send for Cursor {}

impl Cursor {
    /// Reads the entry behind the cursor and steps over it; None where there is none yet.
    /// Errors: `Compacted` (it was truncated away at the front: seek to [`Log::first_index`]), `Corrupt`, `Io`, `NoMemory`, `Poisoned`.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        self.step(sys::walrus_cursor_next, sys::WALRUS_E_CAUGHT_UP)
    }

    /// Reads the entry before the cursor and steps back over it; None where the log begins.
    /// Errors: `Compacted` (the one before it was truncated away), `Corrupt`, `Io`, `NoMemory`, `Poisoned`.
    pub fn prev_entry(&mut self) -> Result<Option<Entry>> {
        self.step(sys::walrus_cursor_prev, sys::WALRUS_E_NOT_FOUND)
    }

    fn step(
        &mut self,
        read: unsafe extern "C" fn(*mut sys::walrus_cursor_t, *mut sys::walrus_entry_t) -> i32,
        end: i32,
    ) -> Result<Option<Entry>> {
        let _inside = self.shared.enter()?;
        let mut entry = Entry::empty();
        let code = unsafe { read(self.cursor.as_ptr(), entry.as_mut_ptr()) };
        if code == end {
            return Ok(None);
        }
        check(code)?;
        Ok(Some(entry))
    }

    /// Moves the cursor, as [`Log::cursor`] places it. On failure it stays. Errors: `NotFound`, `Compacted`.
    pub fn seek(&mut self, index: u64) -> Result<()> {
        let _inside = self.shared.enter()?;
        check(unsafe { sys::walrus_cursor_seek(self.cursor.as_ptr(), index) })
    }

    /// The index that the next step would read: where to go on after a restart. Answers after a close, too.
    pub fn position(&self) -> u64 {
        unsafe { sys::walrus_cursor_position(self.cursor.as_ptr()) }
    }

    /// Waits until there is something to read; `None` waits for ever. Answers whether there is: false if the time is over.
    /// Errors: `Canceled` ([`Log::interrupt`]), `Closed`, `Poisoned` (nothing will come any more).
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<bool> {
        let _inside = self.shared.enter()?;
        waited(unsafe { sys::walrus_cursor_wait(self.cursor.as_ptr(), milliseconds(timeout)) })
    }

    /// An iterator that waits for entries. It ends when none came for so long (`None`: never), and after an error.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/temporary.rs")); }
    /// # let dir = support::Temporary::new("follow");
    /// # let log = walrus::open(dir.join("log"))?;
    /// # log.append_batch(["a", "b"], Default::default())?;
    /// let mut cursor = log.cursor(0)?;
    /// for entry in cursor.follow(Some(std::time::Duration::from_millis(20))) {
    ///     println!("{:?}", entry?.data());
    /// }
    /// assert_eq!(cursor.position(), 3);
    /// # Ok::<(), walrus::Error>(())
    /// ```
    pub fn follow(&mut self, timeout: Option<Duration>) -> Follow<'_> {
        Follow { cursor: self, waits: true, timeout, has_ended: false }
    }
}

impl<'cursor> IntoIterator for &'cursor mut Cursor {
    type Item = Result<Entry>;
    type IntoIter = Follow<'cursor>;

    /// The entries that are there already.
    fn into_iter(self) -> Follow<'cursor> {
        Follow { cursor: self, waits: false, timeout: None, has_ended: false }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        // Safety: it is freed once; it may come after the close of its log, beside it, and inside callbacks.
        unsafe { sys::walrus_cursor_close(self.cursor.as_ptr()) }
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor").field("path", &self.shared.path).field("position", &self.position()).finish()
    }
}

/// Entries as they come: what a loop over a cursor reads.
#[derive(Debug)]
pub struct Follow<'cursor> {
    cursor: &'cursor mut Cursor,
    waits: bool,
    timeout: Option<Duration>,
    has_ended: bool,
}

impl Iterator for Follow<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.has_ended {
            let step = match self.cursor.next_entry() {
                Ok(None) if !self.waits => return None,
                Ok(None) => self.cursor.wait(self.timeout).map(|is_there| {
                    self.has_ended = !is_there;
                    None
                }),
                step => step,
            };
            self.has_ended |= step.is_err();
            if let Some(entry) = step.transpose() {
                return Some(entry);
            }
        }
        None
    }
}
