//! Rotation, segments, counts, and what recovery did.

use crate::callback;
use crate::error::{bytes_of, check, Result};
use crate::log::Log;
use std::ffi::{CStr, OsStr};
use std::mem::{size_of, zeroed};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;
use walrus_sys as sys;

impl Log {
    /// Ends the last segment and begins a new one. Errors: `NoSpace`, `Io`, `NoMemory`, `ReadOnly`, `Poisoned`.
    pub fn rotate(&self) -> Result<()> {
        check(unsafe { sys::walrus_rotate(self.raw()) })
    }

    /// Hands each segment of the log as it was at the call to `visit`, oldest first, and returns what it broke with. It may use the log.
    /// Errors: `Io`, `Corrupt`, `NoMemory`.
    pub fn each_segment<B>(&self, visit: impl FnMut(Segment) -> ControlFlow<B>) -> Result<Option<B>> {
        callback::each_segment(self.raw(), visit)
    }

    /// All segments, oldest first. Errors: `Io`, `Corrupt`, `NoMemory`.
    pub fn segments(&self) -> Result<Vec<Segment>> {
        let mut all = Vec::new();
        self.each_segment(|segment| {
            all.push(segment);
            ControlFlow::<()>::Continue(())
        })?;
        Ok(all)
    }

    /// What the log counts.
    pub fn stats(&self) -> Result<Stats> {
        // Safety: all members are numbers, for which zeroes are right; the library writes no further than struct_size.
        let mut raw: sys::walrus_stats_t = unsafe { zeroed() };
        raw.struct_size = size_of::<sys::walrus_stats_t>() as u32;
        check(unsafe { sys::walrus_stats(self.raw(), &mut raw) })?;
        Ok(Stats::new(&raw))
    }

    /// The same as text in the Prometheus exposition format.
    pub fn stats_text(&self) -> Result<String> {
        let mut text = vec![0u8; 8192];
        loop {
            let mut size = 0;
            let code = unsafe { sys::walrus_stats_text(self.raw(), text.as_mut_ptr().cast(), text.len(), &mut size) };
            if code == sys::WALRUS_E_TOO_SMALL {
                text.resize(size + 256, 0); // numbers grow meanwhile
                continue;
            }
            check(code)?;
            text.truncate(size.saturating_sub(1));
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
    }
}

/// A file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Segment {
    /// Whether it is the last one, which may still grow.
    pub is_tail: bool,
    /// Grows from segment to segment, may have gaps.
    pub id: u64,
    /// Of its entries that are in the log.
    pub first_index: u64,
    /// Below `first_index` if it has none.
    pub last_index: u64,
    /// Of its frames, from the file's start.
    pub bytes: u64,
    /// The file's size.
    pub file_bytes: u64,
    /// No entry up to its end has a later timestamp.
    pub highest_timestamp_ns: i64,
    /// The file in the log's directory.
    pub name: PathBuf,
}

impl Segment {
    pub(crate) fn new(raw: &sys::walrus_segment_info_t) -> Self {
        // Safety: the name lives during the visit.
        let name = unsafe { CStr::from_ptr(raw.name) };
        Segment {
            is_tail: raw.is_tail != 0,
            id: raw.id,
            first_index: raw.first_index,
            last_index: raw.last_index,
            bytes: raw.bytes,
            file_bytes: raw.file_bytes,
            highest_timestamp_ns: raw.highest_timestamp_ns,
            name: OsStr::from_bytes(name.to_bytes()).into(),
        }
    }
}

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// Counts since the log was opened, but for those marked "now". They are read one by one, so they need not add up to the last one.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            /// Now.
            pub is_poisoned: bool,
            /// `[i]`: syncs that took less than 2^i microseconds, and not less than 2^(i-1); the last one: all longer ones.
            pub sync_histogram: [u64; 24],
            $($(#[$doc])* pub $name: u64,)+
        }

        impl Stats {
            fn new(raw: &sys::walrus_stats_t) -> Self {
                Stats { is_poisoned: raw.is_poisoned != 0, sync_histogram: raw.sync_histogram, $($name: raw.$name,)+ }
            }
        }
    };
}

stats! {
    /// Now.
    first_index,
    /// Now.
    last_index,
    /// Now.
    durable_index,
    /// Now.
    segments,
    /// Now: asynchronous appends whose completion is outstanding.
    async_pending,
    /// Now: open transactions.
    txn_open,
    /// Calls that appended.
    appends,
    /// Entries appended.
    entries_appended,
    /// Payloads, in bytes.
    bytes_appended,
    /// Handed to the system for segments: frames, footers.
    bytes_written,
    /// Group syncs: each covers whatever was appended before it.
    syncs,
    /// Entries made durable by them.
    entries_synced,
    /// Most entries made durable by one sync.
    largest_group,
    /// Time spent in syncs.
    sync_ns,
    /// The longest one.
    sync_ns_max,
    /// Segments begun.
    rotations,
    /// Truncations of whatever kind, retention among them.
    truncations,
    /// Segment files removed.
    segments_removed,
    /// Reads that found their segment open; counted loosely.
    segment_cache_hits,
    /// Segments that had to be opened.
    segment_cache_misses,
    /// Transactions committed.
    txn_committed,
    /// Transactions rolled back.
    txn_rolled_back,
    /// Transactions expired.
    txn_expired,
    /// Metadata made durable in `walrus.meta`.
    meta_updates,
    /// How long opening took.
    recovery_ns,
    /// Bytes cut by it.
    recovery_bytes_cut,
    /// Entries cut by it.
    recovery_entries_cut,
}

/// Why recovery cut the tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecoveryReason {
    /// The log had been closed cleanly, or is new: nothing to do.
    Clean,
    /// Not closed cleanly, but nothing was unfinished.
    Complete,
    /// Cut: the last write was unfinished.
    Torn,
    /// Cut: the last batch was unfinished.
    Batch,
    /// Cut: later writes had reached the disk before an earlier one.
    Reordered,
    /// One that this crate does not know yet.
    Unknown(i32),
}

/// What opening found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Why the tail was cut, or that it was not.
    pub reason: RecoveryReason,
    /// Whole entries among what was cut; none of them was acknowledged as durable.
    pub entries_cut: u64,
    /// Bytes from the cut to the last written byte that was found.
    pub bytes_cut: u64,
    /// Index at which the log was cut, or 0.
    pub cut_index: u64,
    /// Where in the segment, or 0.
    pub cut_offset: u64,
    /// Segments that were scanned.
    pub segments_scanned: u64,
    /// Bytes that were scanned.
    pub bytes_scanned: u64,
    /// How long opening took.
    pub duration: Duration,
    /// How far the log proved to be durable, or 0.
    pub durable_index: u64,
    /// The segment file that was cut.
    pub segment: Option<PathBuf>,
    /// The same in a sentence.
    pub message: String,
}

impl RecoveryReport {
    pub(crate) fn of(log: *mut sys::walrus_t) -> Result<Self> {
        // Safety: as in Log::stats.
        let mut raw: sys::walrus_recovery_report_t = unsafe { zeroed() };
        raw.struct_size = size_of::<sys::walrus_recovery_report_t>() as u32;
        check(unsafe { sys::walrus_recovery_report(log, &mut raw) })?;
        let segment = bytes_of(&raw.segment);
        Ok(RecoveryReport {
            reason: match raw.reason {
                sys::WALRUS_RECOVERY_CLEAN => RecoveryReason::Clean,
                sys::WALRUS_RECOVERY_COMPLETE => RecoveryReason::Complete,
                sys::WALRUS_RECOVERY_TORN => RecoveryReason::Torn,
                sys::WALRUS_RECOVERY_BATCH => RecoveryReason::Batch,
                sys::WALRUS_RECOVERY_REORDERED => RecoveryReason::Reordered,
                other => RecoveryReason::Unknown(other),
            },
            entries_cut: raw.entries_cut,
            bytes_cut: raw.bytes_cut,
            cut_index: raw.cut_index,
            cut_offset: raw.cut_offset,
            segments_scanned: raw.segments_scanned,
            bytes_scanned: raw.bytes_scanned,
            duration: Duration::from_nanos(raw.duration_ns),
            durable_index: raw.durable_index,
            segment: (!segment.is_empty()).then(|| OsStr::from_bytes(segment).into()),
            message: String::from_utf8_lossy(bytes_of(&raw.message)).into_owned(),
        })
    }
}
