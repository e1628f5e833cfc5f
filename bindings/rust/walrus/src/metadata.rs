//! Small durable values beside the log. No truncation, reset or retention touches them.

use crate::callback;
use crate::error::{check, Result};
use crate::log::Log;
use crate::options::c_string;
use crate::read::found;
use std::ffi::c_char;
use std::ops::ControlFlow;
use walrus_sys as sys;

type Set = unsafe extern "C" fn(*mut sys::walrus_t, *const c_char, *const std::ffi::c_void, usize) -> i32;

impl Log {
    /// Sets a value of up to 65535 bytes under a key of 1 to 255 bytes without NUL. Durable on return.
    /// Errors: `Invalid`, `TooLarge`, `NoSpace`, `Io`, `NoMemory`, `ReadOnly`, `Poisoned`.
    pub fn meta_set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.meta_put(sys::walrus_meta_set, key.as_ref(), value.as_ref())
    }

    /// Stages a value to be set together with the next append of whatever kind: after a crash both are there or none. [`sync`](Log::sync)
    /// makes it durable without an append. Errors: as [`meta_set`](Log::meta_set).
    pub fn meta_stage(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.meta_put(sys::walrus_meta_stage, key.as_ref(), value.as_ref())
    }

    fn meta_put(&self, set: Set, key: &[u8], value: &[u8]) -> Result<()> {
        let key = c_string(key, "a metadata key")?;
        check(unsafe { set(self.raw(), key.as_ptr(), value.as_ptr().cast(), value.len()) })
    }

    /// A copy of the value, if there is such a key. What was staged is seen once it has ridden on an append. Errors: `Poisoned`.
    pub fn meta_get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        let key = c_string(key.as_ref(), "a metadata key")?;
        let mut value = vec![0u8; 256];
        loop {
            let mut size = 0;
            let (buffer, capacity) = (value.as_mut_ptr().cast(), value.len());
            let code = unsafe { sys::walrus_meta_get(self.raw(), key.as_ptr(), buffer, capacity, &mut size) };
            if code == sys::WALRUS_E_TOO_SMALL {
                value.resize(size, 0); // it may have grown again until the next look
                continue;
            }
            if !found(code)? {
                return Ok(None);
            }
            value.truncate(size);
            return Ok(Some(value));
        }
    }

    /// Removes a key and its value, durably, and says whether it was there. Errors: as [`meta_set`](Log::meta_set).
    pub fn meta_delete(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let key = c_string(key.as_ref(), "a metadata key")?;
        found(unsafe { sys::walrus_meta_delete(self.raw(), key.as_ptr()) })
    }

    /// Hands each key and value to `visit`, in order of the keys' bytes, and returns what it broke with. It may use the log; what it changes
    /// does not show. Errors: `NoMemory`, `Poisoned`.
    pub fn meta_each<B>(&self, visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<B>) -> Result<Option<B>> {
        callback::each_meta(self.raw(), visit)
    }

    /// All keys and values, in order of the keys' bytes. Errors: `NoMemory`, `Poisoned`.
    pub fn meta(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut all = Vec::new();
        self.meta_each(|key, value| {
            all.push((key.to_vec(), value.to_vec()));
            ControlFlow::<()>::Continue(())
        })?;
        Ok(all)
    }
}
