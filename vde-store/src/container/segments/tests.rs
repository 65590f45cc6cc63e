use super::*;
use crate::container::format::{DATA_START, Fields, Geometry};

fn of_size(segment_size: u32) -> Segments {
    Segments::new(Table::new(Geometry { segment_size, salt: 0 }))
}

fn segments() -> Segments {
    of_size(1 << 18)
}

fn reopened(segments: &Segments) -> Segments {
    let mut bytes = Vec::new();
    segments.table.encode(&mut bytes);
    Segments::new(Table::decode(&mut Fields(&bytes), segments.table.geometry()).unwrap())
}

fn persisted(segments: &Segments) -> Usage {
    Segments::new(segments.copy().table(0, &[])).usage()
}

#[test]
fn runs_never_overlap_and_can_be_freed() {
    let mut segments = segments();
    let mut runs: Vec<_> = [1, 3, 60, 64, 1, 17].map(|n| segments.take_pages(n)).into();
    runs.sort_unstable();
    for pair in runs.windows(2) {
        assert!(pair[0].offset + u64::from(pair[0].pages) * BLOCK <= pair[1].offset);
    }
    let freed: Vec<_> = runs.iter().map(|run| Freed::Pages(*run)).collect();
    segments.release(&freed);
    assert!(segments.table.iter().all(|(_, segment)| *segment == Segment::Free));
}

#[test]
fn unused_runs_are_free_and_long_enough() {
    let mut segments = segments();
    let runs = [5, 2, 30, 10].map(|n| segments.take_pages(n));
    segments.take_log(0, 1);
    segments.release(&[Freed::Pages(runs[0]), Freed::Pages(runs[1]), Freed::Pages(runs[3])]);
    let expected = [
        PageRun { offset: DATA_START, pages: 7 },
        PageRun { offset: DATA_START + 37 * BLOCK, pages: 64 - 37 },
    ];
    assert_eq!(segments.table.unused(1), expected);
    assert_eq!(segments.table.unused(8), expected[1..]);
}

#[test]
fn only_log_segments_before_a_checkpoint_are_moved_to_the_front() {
    let mut segments = segments();
    let full = [64, 64].map(|n| Freed::Pages(segments.take_pages(n)));
    let [older, newer] = [7, 8].map(|ordinal| segments.take_log(ordinal, 100));
    segments.release(&full);
    assert_eq!(segments.packed_end(), 2);
    assert_eq!(segments.table.logs_behind(2, 9), [(older, 7), (newer, 8)]);
    assert_eq!(segments.table.logs_behind(2, 8), [(older, 7)]);
}

#[test]
fn a_table_survives_its_encoding() {
    let mut segments = segments();
    segments.take_log(7, 100);
    segments.add_live(DATA_START, 12);
    segments.take_pages(5);
    assert_eq!(reopened(&segments).usage(), segments.usage());
}

#[test]
fn a_full_segment_of_pages_takes_one_byte_and_no_memory() {
    let mut segments = of_size(16 << 20);
    // 80 GB of such segments. A run in the middle is freed later.
    let runs: Vec<_> = (0..5_000).map(|_| segments.take_pages(4096)).collect();
    segments.take_pages(1);
    let mut bytes = Vec::new();
    segments.table.encode(&mut bytes);
    assert_eq!(bytes.len(), 4 + 5_000 + 513);
    let hole = PageRun { offset: runs[777].offset + 10 * BLOCK, pages: 5 };
    segments.release(&[Freed::Pages(hole)]);
    let decoded = reopened(&segments);
    assert_eq!(decoded.table.len(), 5_001);
    let first = PageRun { pages: 10, ..runs[777] };
    for segments in [&decoded, &segments] {
        assert!(segments.is_taken(first) && !segments.is_taken(hole) && segments.is_taken(runs[778]));
    }
    assert_eq!(segments.take_pages(5), hole, "freed pages are found again");
}

#[test]
fn after_a_crash_pending_pages_and_later_log_segments_are_free() {
    let mut segments = segments();
    segments.take_log(0, 1);
    let run = segments.take_pending(3);
    segments.take_log(1, 50);
    let usage = persisted(&segments);
    assert_eq!((usage.page_bytes, usage.log_segments), (0, 1));
    let middle = PageRun { offset: run.offset + BLOCK, pages: 1 };
    segments.end_pending(middle);
    assert_eq!(persisted(&segments).page_bytes, BLOCK);
    assert!(segments.copy().table(0, &[]).is_taken(middle));
    segments.end_pending(run);
    assert_eq!(persisted(&segments).page_bytes, 3 * BLOCK);
}

#[test]
fn a_log_segment_with_only_a_link_dies_like_any_other() {
    let mut segments = segments();
    let (empty, live) = (segments.take_log(0, 1), segments.take_log(1, 1));
    segments.add_live(DATA_START, 0);
    segments.add_live(DATA_START + (1 << 18), 100);
    assert_eq!(segments.end_dead_log(0, 2, |_| true), None);
    assert_eq!(segments.end_dead_log(0, 2, |_| false), Some(empty));
    segments.sub_live(DATA_START + (1 << 18), 100);
    assert_eq!(segments.end_dead_log(0, 1, |_| false), None, "the checkpoint ends in it");
    assert_eq!(segments.end_dead_log(live + 1, 2, |_| false), None);
    assert_eq!(segments.end_dead_log(0, 2, |_| false), Some(live));
}

#[test]
fn bytes_that_a_replay_will_count_are_not_persisted() {
    let mut segments = segments();
    let segment = segments.take_log(0, 1);
    segments.add_live(DATA_START, 100);
    segments.end_checkpoint_in(segment);
    segments.add_live(DATA_START + 100, 40);
    segments.sub_live(DATA_START, 30);
    assert_eq!(segments.usage().live_log_bytes, 110);
    assert_eq!(persisted(&segments).live_log_bytes, 70);
    segments.end_checkpoint_in(segment);
    assert_eq!(persisted(&segments).live_log_bytes, 110);
}

#[test]
fn held_pages_are_reused_only_after_their_readers_are_gone_or_after_a_crash() {
    let mut segments = segments();
    let runs = [10, 20, 30].map(|n| segments.take_pages(n));
    let readers: [Arc<dyn Any + Send + Sync>; 2] = [Arc::new(1), Arc::new(2)];
    segments.hold(
        vec![Arc::downgrade(&readers[0])],
        1,
        [Freed::Pages(runs[0]), Freed::Pages(runs[2])].into(),
    );
    segments.hold(vec![Arc::downgrade(&readers[1])], 2, [Freed::Pages(runs[1])].into());
    assert_eq!(persisted(&segments).page_bytes, 0);
    let [first, second] = readers;
    drop(second);
    assert!(
        !segments.release_unread(1, |_| false),
        "an older reader may need space that a later checkpoint has freed"
    );
    drop(first);
    assert!(segments.release_unread(1, |_| false));
    assert_eq!(segments.usage().page_bytes, 50 * BLOCK, "one at a time");
    // Released space may be in use again.
    let again = segments.take_pages(10);
    assert_eq!(again, runs[0]);
    assert_eq!(persisted(&segments).page_bytes, 10 * BLOCK);
    while segments.release_unread(1, |_| false) {}
    assert_eq!(segments.usage().page_bytes, 10 * BLOCK);
    assert!(!segments.is_holding());
}

#[test]
fn pages_that_another_process_reads_are_not_reused() {
    let mut segments = segments();
    let run = segments.take_pages(10);
    segments.hold(Vec::new(), 5, [Freed::Pages(run)].into());
    assert!(!segments.release_unread(1, |checkpoint| checkpoint >= 5));
    assert_ne!(segments.take_pages(10), run);
    assert!(segments.release_unread(1, |checkpoint| checkpoint > 5));
    assert!(!segments.is_holding());
}

#[test]
fn free_space_can_be_held_and_is_free_again_after_a_crash() {
    let mut segments = segments();
    let runs = [10, 20, 30].map(|n| segments.take_pages(n));
    let log = segments.take_log(0, 1);
    let free = segments.take_log(1, 2);
    segments.end_dead_log(free, 2, |_| false);
    segments.release(&[Freed::Segment(free), Freed::Pages(runs[1])]);
    let (before, kept) = (segments.usage(), persisted(&segments));
    assert_eq!((before.free_segments, before.page_bytes), (1, 40 * BLOCK));
    segments.hold_free(7);
    let held = segments.usage();
    assert_eq!((held.free_segments, held.held_segments, held.page_bytes), (0, 1, 64 * BLOCK));
    assert_eq!(persisted(&segments), kept);
    assert!(!segments.release_unread(10, |checkpoint| checkpoint >= 7));
    assert_ne!(segments.take_log(2, 3), free);
    while segments.release_unread(10, |checkpoint| checkpoint > 7) {}
    let after = segments.usage();
    assert_eq!((after.free_segments, after.held_segments, after.page_bytes), (1, 0, 40 * BLOCK));
    assert!(matches!(segments.get(log), Some(Segment::Log(_))));
}

#[test]
fn every_event_follows_the_table_of_states() {
    let mut rng = fastrand::Rng::with_seed(3);
    let log = LogSegment::new(1, 1);
    let events = [
        Event::Prepare,
        Event::Prepared,
        Event::NotPrepared,
        Event::Unprepare,
        Event::LogBegins(log),
        Event::PageTaken(64),
        Event::PagesGone,
        Event::LogDied,
        Event::SetAside,
        Event::LogForgotten,
        Event::LetGo,
    ];
    let mut segments = segments();
    for _ in 0..20_000 {
        let segment = rng.u32(..40);
        let before = segments.get(segment).cloned().unwrap_or(Segment::Free);
        let event = *rng.choice(&events).unwrap();
        let stepped = segments.step(segment, event);
        let after = segments.get(segment).cloned().unwrap();
        assert_eq!(stepped, before.after(event).is_some());
        assert_eq!(after, before.after(event).unwrap_or(before));
        if rng.u8(..50) == 0 {
            // The indexes beside the table are those that a new one has.
            let anew = Segments::new(segments.table());
            assert_eq!(segments.usage(), anew.usage());
            assert_eq!((&segments.free, &segments.ready), (&anew.free, &anew.ready));
            assert_eq!(segments.idle, anew.idle);
            segments.trim(usize::MAX);
        }
    }
}

#[test]
fn packing_takes_pages_from_the_front() {
    let mut segments = segments();
    let runs: Vec<_> = (0..4).map(|_| segments.take_pages(64)).collect();
    segments.release(&[Freed::Pages(runs[0]), Freed::Pages(PageRun { pages: 3, ..runs[3] })]);
    assert_eq!(segments.take_pending_before(0, 1), None);
    segments.begin_packing();
    assert_eq!(
        segments.begin_preparing(2),
        None,
        "nothing is preallocated while the container is being shortened"
    );
    assert_eq!(segments.take_pages(2).offset, runs[0].offset);
    assert_eq!(segments.take_pending_before(3, 2).unwrap().offset, runs[0].offset + 2 * BLOCK);
    segments.end_packing();
    assert_eq!(
        segments.trim(usize::MAX).0,
        runs[3].offset + 64 * BLOCK,
        "the last page counts, not its segment"
    );
    let last = PageRun { offset: runs[3].offset + 3 * BLOCK, pages: 61 };
    segments.release(&[Freed::Pages(PageRun { offset: last.offset + 10 * BLOCK, pages: 51 })]);
    assert_eq!(segments.trim(usize::MAX).0, last.offset + 10 * BLOCK);
}

#[test]
fn a_run_taken_to_be_discarded_is_not_taken_again() {
    let mut segments = segments();
    let run = segments.take_pages(40);
    segments.take_log(0, 1);
    let free = segments.table.unused(1);
    assert_eq!(free.len(), 1);
    assert!(segments.try_take(free[0]) && !segments.try_take(free[0]) && !segments.try_take(run));
    assert_eq!(segments.take_pages(1).offset, DATA_START + (2 << 18));
    segments.drop_pending(free[0]);
    assert_eq!(segments.take_pages(24), free[0]);
}

/// In a container of 1 TB: the steps under the log's lock do not grow with the container.
#[test]
fn a_terabyte_is_copied_and_searched_in_few_steps() {
    let mut segments = of_size(16 << 20);
    for i in 0..65_536u64 {
        match i % 3 {
            0 => {
                segments.take_log(i, i);
            }
            1 => {
                segments.take_pages(4096);
            }
            _ if i % 2 == 0 => {
                segments.take_pending(2049 + (i % 2000) as u32);
            }
            _ => {
                segments.take_pages(2049 + (i % 2000) as u32);
            }
        }
    }
    let copy = segments.copy();
    // Only the changed chunk is copied.
    let run = segments.take_pages(1);
    let shared = segments.table.shared_with(&copy.table);
    assert_eq!(shared, segments.table.chunks() - 1);
    assert!(!copy.table.is_taken(run));
    let chunks = segments.pending.chunks();
    assert_eq!(segments.pending.shared_with(&copy.pending), chunks);
    segments.take_pending(1);
    assert_eq!(segments.pending.shared_with(&copy.pending), chunks - 1);
}
