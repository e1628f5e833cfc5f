//! Reading: bounds, one entry, many, and searches.

use crate::callback;
use crate::entry::{Entry, EntryRef};
use crate::error::{check, Code, Error, Result};
use crate::log::Log;
use std::iter::FusedIterator;
use std::ops::{Bound, ControlFlow, RangeBounds};
use walrus_sys as sys;

impl Log {
    /// The lowest index in the log, or 0 when it is empty.
    pub fn first_index(&self) -> u64 {
        unsafe { sys::walrus_first_index(self.raw()) }
    }

    /// The highest index in the log, or 0 when it is empty.
    pub fn last_index(&self) -> u64 {
        unsafe { sys::walrus_last_index(self.raw()) }
    }

    /// The index that the next entry will get, also when the log is empty.
    pub fn next_index(&self) -> u64 {
        unsafe { sys::walrus_next_index(self.raw()) }
    }

    /// Reads one entry. Errors: `NotFound` (above the last index; 0), `Compacted` (below the first), `Corrupt`, `Io`, `NoMemory`,
    /// `Poisoned` (above the durable index after a failed write or sync).
    pub fn get(&self, index: u64) -> Result<Entry> {
        let mut entry = Entry::empty();
        check(unsafe { sys::walrus_get(self.raw(), index, entry.as_mut_ptr()) })?;
        Ok(entry)
    }

    /// Copies one entry's bytes into `buffer`, and returns how many. Errors: `TooSmall` (nothing was copied; [`Error::size_needed`]), and those
    /// of [`get`](Log::get).
    pub fn read(&self, index: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut size = 0;
        let code = unsafe { sys::walrus_read(self.raw(), index, buffer.as_mut_ptr().cast(), buffer.len(), &mut size) };
        check(code).map_err(|error| if error.code() == Code::TooSmall { error.with_size(size) } else { error })?;
        Ok(size)
    }

    /// Hands each entry of a range to `visit`, in order, without a copy of what `zero_copy` lends. The end is clipped to what the log held
    /// when the scan began. Returns what `visit` broke with. A panic of `visit` goes on from here. It may use the log.
    ///
    /// A range without an end that begins at the next index visits nothing. Errors: `Invalid` (an empty range), and those of [`get`](Log::get).
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/temporary.rs")); }
    /// # let dir = support::Temporary::new("scan");
    /// # let log = walrus::open(dir.join("log"))?;
    /// # log.append_batch(["a", "bb", "stop", "c"], Default::default())?;
    /// use std::ops::ControlFlow::{Break, Continue};
    /// let mut bytes = 0;
    /// let stopped = log.scan(1.., |entry| {
    ///     bytes += entry.data().len();
    ///     if entry.data() == b"stop" { Break(entry.index()) } else { Continue(()) }
    /// })?;
    /// assert_eq!((stopped, bytes), (Some(3), 7));
    /// # Ok::<(), walrus::Error>(())
    /// ```
    pub fn scan<B>(
        &self,
        range: impl RangeBounds<u64>,
        visit: impl FnMut(EntryRef<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>> {
        let Some(range) = self.bounds(range)? else { return Ok(None) };
        match callback::scan(self.raw(), range.first, range.last, visit) {
            Err(error) if self.is_end(&range, &error) => Ok(None),
            result => result,
        }
    }

    /// Reads the first entries of a range: up to `max_count` of them, and no more than `max_bytes` of payload, but at least one.
    ///
    /// A range without an end that begins at the next index has none. Errors: `Invalid` (an empty range, `max_count` 0), and those of
    /// [`get`](Log::get).
    pub fn get_range(&self, range: impl RangeBounds<u64>, max_bytes: usize, max_count: usize) -> Result<Vec<Entry>> {
        let Some(range) = self.bounds(range)? else { return Ok(Vec::new()) };
        let there = self.last_index().min(range.last).saturating_sub(range.first).saturating_add(1);
        let capacity = max_count.min(usize::try_from(there).unwrap_or(usize::MAX));
        let mut entries: Vec<Entry> = Vec::new();
        entries
            .try_reserve_exact(capacity)
            .map_err(|_| Error::new(Code::NoMemory, format!("there is no memory for {capacity} entries")))?;
        let mut count = 0;
        let array = entries.as_mut_ptr().cast::<sys::walrus_entry_t>();
        let code = unsafe {
            sys::walrus_get_range(self.raw(), range.first, range.last, max_bytes, array, capacity, &mut count)
        };
        match check(code) {
            // Safety: so many were filled, and an Entry is a walrus_entry_t.
            Ok(()) => unsafe { entries.set_len(count) },
            Err(error) if self.is_end(&range, &error) => {}
            Err(error) => return Err(error),
        }
        Ok(entries)
    }

    /// An iterator over a range, from both ends. Its end is the last index as it is now. After an error it has ended.
    ///
    /// ```
    /// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/temporary.rs")); }
    /// # let dir = support::Temporary::new("entries");
    /// # let log = walrus::open(dir.join("log"))?;
    /// # log.append_batch(["a", "b", "c"], Default::default())?;
    /// for entry in log.range(2..) {
    ///     let entry = entry?;
    ///     println!("{}: {:?}", entry.index(), entry.data());
    /// }
    /// assert_eq!(&log.range(..).next_back().unwrap()?[..], b"c");
    /// # Ok::<(), walrus::Error>(())
    /// ```
    pub fn range(&self, range: impl RangeBounds<u64>) -> Entries<'_> {
        let next_index = self.next_index();
        if next_index == 0 {
            return Entries { log: self, next: 0, end: 1 }; // closed or forked, which the read of entry 0 tells
        }
        let first = match range.start_bound() {
            Bound::Included(first) => *first,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => match self.first_index() {
                0 => next_index,
                first => first,
            },
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        Entries { log: self, next: first, end: end.min(next_index) }
    }

    /// Copies up to `max_count` entries from `first` on that together fit into `capacity` bytes: the fast lane for many small ones.
    /// Errors: `Invalid` (`max_count` 0), `TooSmall` (not even the first one fits; [`Error::size_needed`]), and those of [`get`](Log::get).
    pub fn read_packed(&self, first: u64, max_count: usize, capacity: usize) -> Result<Packed> {
        let there = self.last_index().saturating_sub(first).saturating_add(1);
        let max_count = max_count.min(usize::try_from(there).unwrap_or(usize::MAX));
        let mut packed = Packed { data: Vec::new(), sizes: Vec::new() };
        let reserved = packed.data.try_reserve_exact(capacity).and(packed.sizes.try_reserve_exact(max_count));
        reserved.map_err(|_| Error::new(Code::NoMemory, format!("there is no memory for {capacity} bytes")))?;
        let (buffer, sizes) = (packed.data.as_mut_ptr(), packed.sizes.as_mut_ptr());
        let mut count = 0;
        let code = unsafe {
            sys::walrus_read_packed(self.raw(), first, max_count, buffer.cast(), capacity, sizes, &mut count)
        };
        match check(code) {
            Ok(()) => {}
            // Safety: the first size was written then.
            Err(error) if error.code() == Code::TooSmall => {
                return Err(error.with_size(unsafe { sizes.read() } as usize))
            }
            Err(error) => return Err(error),
        }
        // Safety: so many sizes were written, and so many bytes.
        unsafe {
            packed.sizes.set_len(count);
            packed.data.set_len(packed.sizes.iter().map(|size| *size as usize).sum());
        }
        Ok(packed)
    }

    /// The term of the entry at `index`. Errors: as [`get`](Log::get).
    pub fn term(&self, index: u64) -> Result<u64> {
        let mut term = 0;
        check(unsafe { sys::walrus_term(self.raw(), index, &mut term) })?;
        Ok(term)
    }

    /// The highest index whose entry has this term, if one has. Errors: `Corrupt`, `Io`, `NoMemory`, `Poisoned`.
    pub fn last_index_of_term(&self, term: u64) -> Result<Option<u64>> {
        let mut index = 0;
        found(unsafe { sys::walrus_last_index_of_term(self.raw(), term, &mut index) })
            .map(|there| there.then_some(index))
    }

    /// The first index whose running maximum of timestamps reaches this time, if any does. Errors: `Corrupt`, `Io`, `NoMemory`, `Poisoned`.
    pub fn seek_time(&self, timestamp_ns: i64) -> Result<Option<u64>> {
        let mut index = 0;
        found(unsafe { sys::walrus_seek_time(self.raw(), timestamp_ns, &mut index) })
            .map(|there| there.then_some(index))
    }

    /// Bounds as C has them; None for all of an empty log.
    fn bounds(&self, range: impl RangeBounds<u64>) -> Result<Option<Bounds>> {
        let first = match range.start_bound() {
            Bound::Included(first) => *first,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => match self.first_index() {
                0 if matches!(range.end_bound(), Bound::Unbounded) && self.next_index() != 0 => return Ok(None),
                first => first,
            },
        };
        let (last, is_open) = match range.end_bound() {
            Bound::Included(last) => (*last, false),
            Bound::Excluded(0) => return Err(Error::new(Code::Invalid, "the range is empty: its end is 0")),
            Bound::Excluded(end) => (end - 1, false),
            Bound::Unbounded => (u64::MAX, true),
        };
        Ok(Some(Bounds { first, last, is_open }))
    }

    /// Whether the error only says that a range without an end begins where the log ends.
    fn is_end(&self, range: &Bounds, error: &Error) -> bool {
        range.is_open && error.code() == Code::NotFound && range.first == self.next_index()
    }
}

struct Bounds {
    first: u64,
    last: u64,
    is_open: bool,
}

/// NOT_FOUND is an answer.
pub(crate) fn found(code: i32) -> Result<bool> {
    if code == sys::WALRUS_E_NOT_FOUND {
        return Ok(false);
    }
    check(code).map(|()| true)
}

/// The entries of a range, read one by one.
#[derive(Debug)]
pub struct Entries<'log> {
    log: &'log Log,
    next: u64,
    end: u64,
}

impl Entries<'_> {
    fn read(&mut self, index: u64) -> Option<Result<Entry>> {
        let result = self.log.get(index);
        if result.is_err() {
            self.next = self.end;
        }
        Some(result)
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        self.next += 1;
        self.read(self.next - 1)
    }

    /// What was dropped meanwhile is an error and the end, so it may be fewer.
    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, usize::try_from(self.end.saturating_sub(self.next)).ok())
    }
}

impl DoubleEndedIterator for Entries<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        self.end -= 1;
        self.read(self.end)
    }
}

impl FusedIterator for Entries<'_> {}

impl<'log> IntoIterator for &'log Log {
    type Item = Result<Entry>;
    type IntoIter = Entries<'log>;

    fn into_iter(self) -> Entries<'log> {
        self.range(..)
    }
}

/// Copies of entries, one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    data: Vec<u8>,
    sizes: Vec<u32>,
}

impl Packed {
    /// All bytes.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The entries' sizes, which add up to the bytes.
    pub fn sizes(&self) -> &[u32] {
        &self.sizes
    }

    /// The payloads, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> + '_ {
        let mut rest = &self.data[..];
        self.sizes.iter().map(move |size| {
            let (payload, behind) = rest.split_at(*size as usize);
            rest = behind;
            payload
        })
    }
}
