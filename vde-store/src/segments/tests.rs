use super::*;
use crate::format::Fields;

fn segments() -> Segments {
    Segments::new(Geometry { segment_size: 1 << 18, salt: 0 })
}

#[test]
fn runs_never_overlap_and_come_back() {
    let mut segments = segments();
    let mut runs: Vec<_> =
        [1, 3, 60, 64, 1, 17].map(|n| PageRun { offset: segments.take_pages(n), pages: n }).into();
    runs.sort_unstable();
    for pair in runs.windows(2) {
        assert!(pair[0].offset + u64::from(pair[0].pages) * BLOCK <= pair[1].offset);
    }
    let freed: Vec<_> = runs.iter().map(|run| Freed::Pages(*run)).collect();
    segments.release(&freed);
    assert!(segments.table().iter().all(|segment| *segment == Segment::Free));
}

#[test]
fn what_is_unused_is_what_is_not_taken() {
    let mut segments = segments();
    let runs = [5, 2, 30, 10].map(|n| PageRun { offset: segments.take_pages(n), pages: n });
    segments.take_log(0, 1);
    segments.release(&[Freed::Pages(runs[0]), Freed::Pages(runs[1]), Freed::Pages(runs[3])]);
    let expected = [
        PageRun { offset: DATA_START, pages: 7 },
        PageRun { offset: DATA_START + 37 * BLOCK, pages: 64 - 37 },
    ];
    assert_eq!(segments.unused(1), expected);
    assert_eq!(segments.unused(8), expected[1..]);
}

#[test]
fn of_the_log_only_what_lies_before_a_checkpoint_is_moved_down() {
    let mut segments = segments();
    let pages = PageRun { offset: segments.take_pages(64), pages: 64 };
    let more = PageRun { offset: segments.take_pages(64), pages: 64 };
    let [older, newer] = [7, 8].map(|ordinal| segments.take_log(ordinal, 100));
    segments.release(&[Freed::Pages(pages), Freed::Pages(more)]);
    assert_eq!(segments.tail_logs(9), [(older, 7), (newer, 8)]);
    assert_eq!(segments.tail_logs(8), [(older, 7)]);
}

#[test]
fn a_table_survives_its_encoding() {
    let mut segments = segments();
    segments.take_log(7, 100);
    segments.add_live(DATA_START, 12);
    segments.take_pages(5);
    let mut bytes = Vec::new();
    segments.encode(&mut bytes);
    let decoded = Segments::decode(&mut Fields(&bytes), segments.geometry).unwrap();
    let used = |segments: &Segments| segments.usage();
    assert_eq!(used(&decoded), used(&segments));
}

#[test]
fn a_segment_whose_pages_are_all_taken_takes_one_byte_and_no_memory() {
    let mut segments = Segments::new(Geometry { segment_size: 16 << 20, salt: 0 });
    // 80 GB of them, and what is freed again in the middle.
    let offsets: Vec<_> = (0..5_000).map(|_| segments.take_pages(4096)).collect();
    segments.take_pages(1);
    let encode = |segments: &Segments| {
        let mut bytes = Vec::new();
        segments.encode(&mut bytes);
        bytes
    };
    assert_eq!(encode(&segments).len(), 4 + 5_000 + 513);
    let hole = PageRun { offset: offsets[777] + 10 * BLOCK, pages: 5 };
    segments.release(&[Freed::Pages(hole)]);
    let decoded = Segments::decode(&mut Fields(&encode(&segments)), segments.geometry).unwrap();
    assert_eq!(decoded.table().len(), 5_001);
    let (first, last) =
        (PageRun { offset: offsets[777], pages: 10 }, PageRun { offset: offsets[778], pages: 4096 });
    for segments in [&decoded, &segments] {
        assert!(segments.is_taken(first) && !segments.is_taken(hole) && segments.is_taken(last));
    }
    assert_eq!(segments.take_pages(5), hole.offset, "what is freed is found again");
}

#[test]
fn a_crash_forgets_the_unborn_and_the_later_log() {
    let mut segments = segments();
    segments.take_log(0, 1);
    let run = segments.take_unborn(3);
    segments.take_log(1, 50);
    let persistent = segments.persistent(0, std::iter::empty());
    assert_eq!(persistent.usage().page_bytes, 0);
    assert_eq!(persistent.usage().log_segments, 1);
    segments.end_unborn(PageRun { offset: run.offset + BLOCK, pages: 1 });
    let persistent = segments.persistent(0, std::iter::empty());
    assert!(persistent.is_taken(PageRun { offset: run.offset + BLOCK, pages: 1 }));
    assert_eq!(persistent.usage().page_bytes, BLOCK);
    segments.end_unborn(run);
    assert_eq!(segments.persistent(0, std::iter::empty()).usage().page_bytes, 3 * BLOCK);
}

#[test]
fn what_a_replay_will_count_is_not_persisted() {
    let mut segments = segments();
    let segment = segments.take_log(0, 1);
    segments.add_live(DATA_START, 100);
    segments.end_checkpoint_in(segment);
    segments.add_live(DATA_START + 100, 40);
    segments.sub_live(DATA_START, 30);
    assert_eq!(segments.usage().live_log_bytes, 110);
    assert_eq!(segments.persistent(0, std::iter::empty()).usage().live_log_bytes, 70);
    segments.end_checkpoint_in(segment);
    assert_eq!(segments.persistent(0, std::iter::empty()).usage().live_log_bytes, 110);
}
