//! What is appended, and how durable it is when the call returns.

use crate::error::{Code, Error, Result};
use std::marker::PhantomData;
use walrus_sys as sys;

/// What is appended: bytes, and if need be their index, term and time.
///
/// ```
/// let plain = walrus::Record::from("bytes alone");
/// let raft = walrus::Record::new(b"set x 1").term(3).index(17);
/// # assert_eq!((plain.data.len(), raft.index), (11, 17));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record<'a> {
    /// The payload. No bytes are an entry, too.
    pub data: &'a [u8],
    /// 0: the next one. Otherwise it must be the next one, or any index from 1 to 2^63 in a log that never held an entry.
    pub index: u64,
    /// The caller's epoch (a Raft term), stored as given.
    pub term: u64,
    /// Nanoseconds since 1970 UTC; 0: now.
    pub timestamp_ns: i64,
}

impl<'a> Record<'a> {
    /// A record at the next index, of term 0 and the time now.
    pub fn new(data: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Record { data: data.as_ref(), index: 0, term: 0, timestamp_ns: 0 }
    }

    /// Demands this index.
    pub fn index(mut self, index: u64) -> Self {
        self.index = index;
        self
    }

    /// Sets the term.
    pub fn term(mut self, term: u64) -> Self {
        self.term = term;
        self
    }

    /// Sets the time, in nanoseconds since 1970 UTC.
    pub fn timestamp_ns(mut self, timestamp_ns: i64) -> Self {
        self.timestamp_ns = timestamp_ns;
        self
    }

    pub(crate) fn raw(&self) -> RawRecord<'a> {
        let raw = sys::walrus_record_t {
            data: self.data.as_ptr().cast(),
            size: self.data.len(),
            index: self.index,
            term: self.term,
            timestamp_ns: self.timestamp_ns,
            reserved: [0; 2],
        };
        RawRecord { raw, _data: PhantomData }
    }
}

macro_rules! from_bytes {
    ($($source:ty),+) => {
        $(impl<'a> From<&'a $source> for Record<'a> {
            fn from(data: &'a $source) -> Self {
                Record::new(data)
            }
        })+
    };
}

from_bytes!([u8], Vec<u8>, str, String);

impl<'a, const N: usize> From<&'a [u8; N]> for Record<'a> {
    fn from(data: &'a [u8; N]) -> Self {
        Record::new(data)
    }
}

impl<'a> From<&Record<'a>> for Record<'a> {
    fn from(record: &Record<'a>) -> Self {
        *record
    }
}

/// A record as C has it, which keeps the payload borrowed.
#[repr(transparent)]
pub(crate) struct RawRecord<'a> {
    pub raw: sys::walrus_record_t,
    _data: PhantomData<&'a [u8]>,
}

/// Records in the one array that C wants.
pub(crate) fn raw_records<'a, I>(records: I) -> Result<Vec<RawRecord<'a>>>
where
    I: IntoIterator,
    I::Item: Into<Record<'a>>,
{
    let records = records.into_iter();
    let mut array = Vec::new();
    let no_memory = |_| Error::new(Code::NoMemory, "there is no memory for the array of records");
    array.try_reserve(records.size_hint().0).map_err(no_memory)?;
    for record in records {
        array.try_reserve(1).map_err(no_memory)?;
        array.push(record.into().raw());
    }
    Ok(array)
}

/// How durable an append is when it returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// As the log's option `sync` says.
    #[default]
    AsOpened,
    /// On stable storage, with all entries before it.
    Durable,
    /// Handed to the operating system: survives a kill of the process.
    ToOs,
    /// In memory.
    Buffered,
}

impl Durability {
    pub(crate) fn flags(self) -> u32 {
        match self {
            Durability::AsOpened => 0,
            Durability::Durable => sys::WALRUS_DURABLE,
            Durability::ToOs => sys::WALRUS_TO_OS,
            Durability::Buffered => sys::WALRUS_BUFFERED,
        }
    }
}
