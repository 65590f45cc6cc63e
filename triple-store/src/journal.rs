//! Where commits become durable: a vde-store, or nothing for a store in memory.
//!
//! | key | value |
//! |---|---|
//! | `t` + sequence number, big endian | the [record](crate::record) of one commit |

use crate::delta::Seq;
use crate::error::{Error, Result};
use crate::options::Durability;
use std::path::Path;
use vde_store::Vde;

/// The first byte of the keys of commit records.
const COMMIT: u8 = b't';

/// The durable side of a store.
#[derive(Debug)]
pub(crate) struct Journal {
    /// Handle whose writes return once logged, in the order of the calls.
    vde: Option<Vde>,
    durability: Durability,
}

impl Journal {
    pub(crate) fn in_memory() -> Self {
        Self { vde: None, durability: Durability::Buffered }
    }

    pub(crate) fn open(path: &Path, durability: Durability) -> Result<Self> {
        let vde = Vde::open(path)?.with_durability(vde_store::Durability::Buffered);
        Ok(Self { vde: Some(vde), durability })
    }

    /// Calls `replay` with the record of every commit, in order.
    pub(crate) fn replay(&self, mut replay: impl FnMut(Seq, &[u8]) -> Result<()>) -> Result<()> {
        let Some(vde) = &self.vde else { return Ok(()) };
        for entry in vde.list([COMMIT]) {
            let entry = entry?;
            let number = entry.key()[1..]
                .try_into()
                .map_err(|_| Error::Corrupt("a commit without a number".into()))?;
            replay(Seq::from_be_bytes(number), &entry.value()?)?;
        }
        Ok(())
    }

    /// Logs a commit. It follows all that were logged before, whatever a crash takes; it is not durable yet, so
    /// the caller may hold stripes.
    pub(crate) fn append(&self, seq: Seq, record: &[u8]) -> Result<()> {
        if let Some(vde) = &self.vde {
            vde.put(commit_key(seq), record)?;
        }
        Ok(())
    }

    /// Waits until what this thread logged may be acknowledged. Holds no stripe: others log meanwhile, and one
    /// sync serves all who wait.
    pub(crate) fn settle(&self) -> Result<()> {
        match self.durability {
            Durability::Sync => self.flush(),
            Durability::Buffered => Ok(()),
        }
    }

    /// Waits until everything logged before is durable.
    pub(crate) fn flush(&self) -> Result<()> {
        if let Some(vde) = &self.vde {
            vde.flush()?;
        }
        Ok(())
    }
}

fn commit_key(seq: Seq) -> [u8; 9] {
    let mut key = [COMMIT; 9];
    key[1..].copy_from_slice(&seq.to_be_bytes());
    key
}
