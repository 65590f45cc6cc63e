//! The states of a segment, and the table of events with their transitions.

use super::PageMap;

/// What a segment is used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// Nothing. Its bytes may be anything.
    Free,
    /// It is being preallocated: its space is allocated by writing zeros. It can't be taken meanwhile.
    Preparing,
    /// Nothing. It is preallocated, so that a sync of data in it has no file-system metadata to commit.
    Ready,
    Log(LogSegment),
    Pages(PageMap),
    /// Dead log that a reader, or the superblock before the newest, may still need. Also everything that was free
    /// when the store was opened, if other processes may read space that an earlier writer has freed.
    Held,
}

/// A segment of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogSegment {
    pub(crate) ordinal: u64,
    /// The sequence number of its first record.
    pub(crate) first_seq: u64,
    /// Bytes of records that the index or the memtables refer to.
    pub(crate) live: u64,
    /// How many of these bytes became live after the log position at which the last checkpoint ends.
    pub(super) recent: u64,
}

impl LogSegment {
    pub(crate) fn new(ordinal: u64, first_seq: u64) -> Self {
        Self { ordinal, first_seq, live: 0, recent: 0 }
    }
}

/// What happens to a segment.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// It is to be preallocated.
    Prepare,
    /// It was preallocated.
    Prepared,
    /// It could not be preallocated.
    NotPrepared,
    /// It does not count as preallocated any more, because the device may be shortened.
    Unprepare,
    /// The log continues in it.
    LogBegins(LogSegment),
    /// A replay finds that the log continued in it.
    LogFound(LogSegment),
    /// A page of it is taken. The number is how many pages a segment has.
    PageTaken(u32),
    /// The last of its pages is free again.
    PagesGone,
    /// A checkpoint finds that nothing in it is live.
    LogDied,
    /// Another process may read space that an earlier writer has freed.
    SetAside,
    /// After a crash, only a replay of the log would find it.
    LogForgotten,
    /// No reader needs it, and the superblock that no longer refers to it is durable.
    LetGo,
}

impl Segment {
    /// The table of states. `None`: the event can't happen to a segment in this state.
    ///
    /// | event | from | to |
    /// |---|---|---|
    /// | prepare | free | preparing |
    /// | prepared | preparing | ready |
    /// | not prepared | preparing | free |
    /// | unprepare | ready | free |
    /// | the log begins | free, ready | log |
    /// | a replay finds log | any | log |
    /// | a page is taken | free, ready | pages |
    /// | its pages are gone | pages | free |
    /// | the log died | log | held |
    /// | set aside | free, ready | held |
    /// | let go | held | free |
    /// | forgotten | log | free |
    ///
    /// A page has states of its own while its segment has pages: free; *pending*, taken by a large value to which no
    /// persisted index refers; taken; *held*, as a segment is. [`Segments`](super::Segments) moves pages with
    /// `take_pages`, `take_pending`, `end_pending`, `hold` and `release`.
    pub(super) fn after(&self, event: Event) -> Option<Self> {
        Some(match (self, event) {
            (Self::Free, Event::Prepare) => Self::Preparing,
            (Self::Preparing, Event::Prepared) => Self::Ready,
            (Self::Free | Self::Ready, Event::LogBegins(log)) | (_, Event::LogFound(log)) => Self::Log(log),
            (Self::Free | Self::Ready, Event::PageTaken(pages)) => Self::Pages(PageMap::new(pages)),
            (Self::Log(_), Event::LogDied) | (Self::Free | Self::Ready, Event::SetAside) => Self::Held,
            (Self::Preparing, Event::NotPrepared)
            | (Self::Ready, Event::Unprepare)
            | (Self::Pages(_), Event::PagesGone)
            | (Self::Held, Event::LetGo)
            | (Self::Log(_), Event::LogForgotten) => Self::Free,
            _ => return None,
        })
    }
}
