//! Histories of sections, and a check that the locks permit them.

use std::collections::BTreeMap;
use std::fmt;

/// The time for which a guard was held, from after its acquisition to before its release, by a clock that all processes
/// share.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) fence: i64,
    pub(crate) stripes: Vec<usize>,
}

/// What is wrong with a history.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    TwoHolders,
    FenceFell,
}

/// Checks that no stripe had two holders at a time, and that the fences of each stripe rise.
pub(crate) fn check(history: &[Section]) -> Result<(), Wrong> {
    let mut by_stripe: BTreeMap<usize, Vec<&Section>> = BTreeMap::new();
    for section in history {
        section.stripes.iter().for_each(|stripe| by_stripe.entry(*stripe).or_default().push(section));
    }
    for sections in by_stripe.values_mut() {
        sections.sort_by_key(|section| section.from);
        for pair in sections.windows(2) {
            if pair[1].from < pair[0].to {
                return Err(Wrong::TwoHolders);
            }
            if pair[1].fence <= pair[0].fence {
                return Err(Wrong::FenceFell);
            }
        }
    }
    Ok(())
}

/// The time by the clock that all processes of a machine share, in nanoseconds.
pub(crate) fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stripes: Vec<_> = self.stripes.iter().map(ToString::to_string).collect();
        write!(f, "{} {} {} {}", self.from, self.to, self.fence, stripes.join(","))
    }
}

impl Section {
    /// Reads what `Display` writes.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        Some(Self {
            from: words.next()?.parse().ok()?,
            to: words.next()?.parse().ok()?,
            fence: words.next()?.parse().ok()?,
            stripes: words.next()?.split(',').map(|stripe| stripe.parse().ok()).collect::<Option<_>>()?,
        })
    }
}
