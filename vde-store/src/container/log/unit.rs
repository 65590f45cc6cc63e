//! Units: contiguous runs of log records, each with a header.

use crate::container::format::{UNIT_HEAD, UnitHead};
use crate::container::log::record::Record;

/// A unit as it lies in the log.
pub(crate) struct Unit<'a> {
    pub(crate) head: UnitHead,
    pub(crate) sum: u64,
    /// The records, each with its offset in the unit.
    pub(crate) records: Vec<(u64, Record<'a>)>,
}

impl<'a> Unit<'a> {
    /// The unit at the front of `bytes`, if there is a whole and intact one. It does not verify values; their readers
    /// do.
    pub(crate) fn read(bytes: &'a [u8], salt: u64) -> Option<Self> {
        let (head, sum) = UnitHead::decode(bytes)?;
        let unit = bytes.get(..head.len as usize)?;
        let mut rest = unit.get(UNIT_HEAD..)?;
        let mut hash = head.hash(unit, salt);
        let mut records = Vec::new();
        while !rest.is_empty() {
            let record = Record::parse(rest, salt)?;
            hash.update(&record.sum.to_le_bytes());
            records.push(((unit.len() - rest.len()) as u64, record));
            rest = &rest[record.len as usize..];
        }
        (hash.digest() == sum).then_some(Self { head, sum, records })
    }
}
