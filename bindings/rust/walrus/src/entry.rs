//! What is read: an entry that owns its bytes' release, and one that is lent while a visitor runs.

use std::ffi::c_void;
use std::fmt;
use std::ops::Deref;
use walrus_sys as sys;

/// One entry. With `zero_copy` its bytes are the mapped segment file's, and stay as they are until it is dropped, whatever happens
/// to the log meanwhile: truncation, close, destruction. It derefs to its bytes.
///
/// The bytes cannot outlive it:
///
/// ```compile_fail,E0597
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/temporary.rs")); }
/// # let dir = support::Temporary::new("entry");
/// let log = walrus::open(dir.join("log"))?;
/// log.append("lent")?;
/// let bytes: &[u8];
/// {
///     let entry = log.get(1)?;
///     bytes = entry.data();
/// } // the entry is released here
/// println!("{bytes:?}");
/// # Ok::<(), walrus::Error>(())
/// ```
#[repr(transparent)]
pub struct Entry {
    raw: sys::walrus_entry_t,
}

// Safety: the bytes are only read, and walrus_entry_release may come from any thread.
unsafe impl Send for Entry {}
unsafe impl Sync for Entry {}

impl Entry {
    /// What the library fills; zeroed, its release is a no-op.
    pub(crate) fn empty() -> Self {
        Entry {
            raw: sys::walrus_entry_t {
                index: 0,
                term: 0,
                timestamp_ns: 0,
                data: std::ptr::null(),
                size: 0,
                checksum: 0,
                flags: 0,
                owner: std::ptr::null_mut(),
            },
        }
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut sys::walrus_entry_t {
        &mut self.raw
    }

    /// The payload.
    pub fn data(&self) -> &[u8] {
        // Safety: lent by the library until it is released.
        unsafe { bytes(self.raw.data, self.raw.size) }
    }

    /// Its index.
    pub fn index(&self) -> u64 {
        self.raw.index
    }

    /// Its term.
    pub fn term(&self) -> u64 {
        self.raw.term
    }

    /// Nanoseconds since 1970 UTC.
    pub fn timestamp_ns(&self) -> i64 {
        self.raw.timestamp_ns
    }

    /// CRC-32 (IEEE) of the payload, as [`crc32`](crate::crc32) computes it.
    pub fn checksum(&self) -> u32 {
        self.raw.checksum
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // Safety: it is released once, and nobody borrows its bytes any more.
        unsafe { sys::walrus_entry_release(&mut self.raw) }
    }
}

impl Deref for Entry {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.data()
    }
}

impl AsRef<[u8]> for Entry {
    fn as_ref(&self) -> &[u8] {
        self.data()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(&self.raw, f)
    }
}

/// An entry that is lent to a visitor.
#[derive(Clone, Copy)]
pub struct EntryRef<'a> {
    raw: &'a sys::walrus_entry_t,
}

impl<'a> EntryRef<'a> {
    pub(crate) fn new(raw: &'a sys::walrus_entry_t) -> Self {
        EntryRef { raw }
    }

    /// The payload.
    pub fn data(&self) -> &'a [u8] {
        // Safety: lent by the library while the visitor runs, as long as raw is.
        unsafe { bytes(self.raw.data, self.raw.size) }
    }

    /// Its index.
    pub fn index(&self) -> u64 {
        self.raw.index
    }

    /// Its term.
    pub fn term(&self) -> u64 {
        self.raw.term
    }

    /// Nanoseconds since 1970 UTC.
    pub fn timestamp_ns(&self) -> i64 {
        self.raw.timestamp_ns
    }

    /// CRC-32 (IEEE) of the payload.
    pub fn checksum(&self) -> u32 {
        self.raw.checksum
    }
}

impl fmt::Debug for EntryRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.raw, f)
    }
}

fn show(raw: &sys::walrus_entry_t, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.debug_struct("Entry")
        .field("index", &raw.index)
        .field("term", &raw.term)
        .field("timestamp_ns", &raw.timestamp_ns)
        .field("size", &raw.size)
        .finish_non_exhaustive()
}

/// The bytes at `data`, which may be NULL if there are none.
///
/// # Safety
/// `size` bytes at `data` live as long as `'a`, and nobody writes to them.
pub(crate) unsafe fn bytes<'a>(data: *const c_void, size: usize) -> &'a [u8] {
    if size == 0 {
        return &[];
    }
    unsafe { std::slice::from_raw_parts(data.cast(), size) }
}
