//! A memory budget that several evaluations share. Each takes what it needs while it needs it.

use crate::error::{Error, Result};
use parking_lot::Mutex;
use std::sync::Arc;

/// How many bytes are taken at a time.
const PORTION: usize = 256 << 10;

/// The budget.
#[derive(Debug)]
pub(crate) struct Memory {
    most: usize,
    free: Mutex<usize>,
}

impl Memory {
    #[cfg(any(test, feature = "server"))]
    pub(crate) fn new(bytes: usize) -> Self {
        Self { most: bytes, free: Mutex::new(bytes) }
    }
}

/// The memory that one evaluation has taken, until this is dropped. Without a budget it may take any amount.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    memory: Option<Arc<Memory>>,
    bytes: usize,
}

impl Taken {
    pub(crate) fn of(memory: Option<Arc<Memory>>) -> Self {
        Self { memory, bytes: 0 }
    }

    /// Takes more if fewer than these bytes are taken.
    ///
    /// # Errors
    ///
    /// [`Error::MemoryInUse`].
    pub(crate) fn at_least(&mut self, bytes: usize) -> Result<()> {
        if let Some(memory) = self.memory.as_ref().filter(|_| bytes > self.bytes) {
            let more = (bytes - self.bytes).next_multiple_of(PORTION);
            let mut free = memory.free.lock();
            *free = free.checked_sub(more).ok_or(Error::MemoryInUse(memory.most))?;
            self.bytes += more;
        }
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(memory) = &self.memory {
            *memory.free.lock() += self.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_memory_returns_to_the_budget() {
        let memory = Arc::new(Memory::new(4 * PORTION));
        let new = || Taken::of(Some(Arc::clone(&memory)));
        let (mut a, mut b) = (new(), new());
        a.at_least(1).unwrap();
        b.at_least(3 * PORTION).unwrap();
        b.at_least(2 * PORTION).unwrap();
        assert!(matches!(a.at_least(PORTION + 1), Err(Error::MemoryInUse(most)) if most == 4 * PORTION));
        drop(b);
        a.at_least(4 * PORTION).unwrap();
        drop(a);
        assert_eq!(*memory.free.lock(), memory.most);
        Taken::default().at_least(usize::MAX / 2).unwrap();
    }
}
