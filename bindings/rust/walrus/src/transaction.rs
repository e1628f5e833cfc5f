//! Entries staged in memory and appended as one batch.

use crate::callback::is_inside_logger;
use crate::error::{check, Code, Error, Result};
use crate::log::{appended, milliseconds, Log};
use crate::record::{Durability, Record};
use crate::shared::{do_elsewhere, Shared};
use std::fmt;
use std::ops::Range;
use std::ptr::{null_mut, NonNull};
use std::sync::Arc;
use std::time::Duration;
use walrus_sys as sys;

impl Log {
    /// Begins a transaction that may stay open as long as the option `txn_timeout_ms` says. Errors: `ReadOnly`, `Poisoned`, `NoMemory`.
    pub fn transaction(&self) -> Result<Transaction> {
        self.begin(0)
    }

    /// Begins a transaction that may stay open so long; `None`: for ever. Errors: as [`transaction`](Log::transaction).
    pub fn transaction_for(&self, timeout: Option<Duration>) -> Result<Transaction> {
        let timeout = milliseconds(timeout);
        self.begin(if timeout == 0 { 1 } else { timeout })
    }

    fn begin(&self, timeout_ms: i64) -> Result<Transaction> {
        let mut txn = null_mut();
        check(unsafe { sys::walrus_txn_begin(self.raw(), timeout_ms, &mut txn) })?;
        let txn =
            NonNull::new(txn).ok_or_else(|| Error::new(Code::Internal, "walrus_txn_begin gave no transaction"))?;
        Ok(Transaction { txn: Some(Handle(txn)), shared: Arc::clone(self.shared()) })
    }

    /// How many transactions are open.
    pub fn transaction_count(&self) -> u64 {
        unsafe { sys::walrus_txn_count(self.raw()) }
    }

    /// Expires at once those whose time is over, and says how many. The background does the same by itself.
    pub fn expire_transactions(&self) -> Result<u64> {
        let mut expired = 0;
        check(unsafe { sys::walrus_txn_expire(self.raw(), &mut expired) })?;
        Ok(expired)
    }
}

/// What has become of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransactionState {
    /// It takes entries.
    Open,
    /// Its time was over.
    Expired,
    /// Its entries are in the log.
    Committed,
}

/// Entries staged for one atomic append. Dropping it rolls back what was not committed.
///
/// ```
/// # mod support { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/temporary.rs")); }
/// # let dir = support::Temporary::new("transaction");
/// # let log = walrus::open(dir.join("log"))?;
/// let mut transfer = log.transaction()?;
/// transfer.append("debit 30")?;
/// transfer.append("credit 30")?; // a return on an error here would roll both back
/// assert_eq!(transfer.commit(walrus::Durability::Durable)?, 1..3);
/// # Ok::<(), walrus::Error>(())
/// ```
///
/// It may move to another thread, and belongs to one at a time:
///
/// ```compile_fail,E0277
/// fn share<T: std::marker::Sync>() {}
/// share::<walrus::Transaction>();
/// ```
pub struct Transaction {
    /// None once it has been committed.
    txn: Option<Handle>,
    shared: Arc<Shared>,
}

struct Handle(NonNull<sys::walrus_txn_t>);

// Safety: a transaction belongs to one thread at a time, not to the one that began it.
unsafe impl Send for Handle {}

impl Transaction {
    /// Stages a copy of a record. Errors: `TxnFull`, `TxnExpired`, `TxnState` (committed), `TooLarge`, `Invalid`, `NoMemory`; it is as it was then.
    pub fn append<'a>(&mut self, record: impl Into<Record<'a>>) -> Result<()> {
        let _inside = self.shared.enter()?;
        let record = record.into().raw();
        check(unsafe { sys::walrus_txn_append(self.handle()?, &record.raw) })
    }

    /// Appends what was staged as [`Log::append_batch`] does, and returns where it is.
    ///
    /// Errors: `TxnExpired`, `TxnState`, and those of `append_batch`. It is open as before then, and can be committed again, unless only the
    /// wait for the entries to become durable failed: [`Error::appended`] says where they are in that case.
    pub fn commit(&mut self, durability: Durability) -> Result<Range<u64>> {
        let _inside = self.shared.enter()?;
        let (mut first, mut count) = (0, 0);
        let code = unsafe { sys::walrus_txn_commit(self.handle()?, durability.flags(), &mut first, &mut count) };
        if code == sys::WALRUS_OK {
            self.txn = None;
        }
        appended(code, first, count)
    }

    /// Drops what was staged. Does nothing after a commit.
    pub fn rollback(mut self) -> Result<()> {
        self.roll_back()
    }

    /// What has become of it.
    pub fn state(&self) -> Result<TransactionState> {
        let _inside = self.shared.enter()?;
        let Ok(handle) = self.handle() else { return Ok(TransactionState::Committed) };
        match unsafe { sys::walrus_txn_state(handle) } {
            sys::WALRUS_TXN_OPEN => Ok(TransactionState::Open),
            sys::WALRUS_TXN_EXPIRED => Ok(TransactionState::Expired),
            code => check(code).map(|()| TransactionState::Committed),
        }
    }

    fn handle(&self) -> Result<*mut sys::walrus_txn_t> {
        self.txn
            .as_ref()
            .map(|txn| txn.0.as_ptr())
            .ok_or_else(|| Error::new(Code::TxnState, "the transaction was committed already; begin another one"))
    }

    /// Allowed also after the close of its log, and beside it. Inside a logger it is not, and comes later.
    fn roll_back(&mut self) -> Result<()> {
        let Some(txn) = self.txn.take() else { return Ok(()) };
        if is_inside_logger() {
            do_elsewhere(move || drop(txn.roll_back()));
            return Ok(());
        }
        txn.roll_back()
    }
}

impl Handle {
    fn roll_back(self) -> Result<()> {
        // Safety: it is freed once, whatever the answer: BUSY would say that a commit is under way, which borrows the transaction.
        check(unsafe { sys::walrus_txn_rollback(self.0.as_ptr()) })
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let _ = self.roll_back();
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("path", &self.shared.path)
            .field("is_committed", &self.txn.is_none())
            .finish_non_exhaustive()
    }
}
