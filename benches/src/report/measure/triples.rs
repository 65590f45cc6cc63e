//! Part three: RDF loaded into the triple store, before and after striping, and as it is.

use std::time::Duration;

use oxrdf::{NamedOrBlankNode, Quad};
use parking_lot::Mutex;
use stripe_lock::DefaultHasher;

use super::{
    super::{Section, Table, Unit, progress::Progress},
    Settings,
    disk::{AFTER, AS_IS, BEFORE, role},
};
use crate::{
    contenders::{
        GlobalMutex, KeyLock, Ours, Unlocked,
        quads::OurQuads,
        stores::{Durability, Failure},
    },
    harness::{Case, Plan},
    workloads::load,
};

const WRITERS: usize = 16;
const STRIPES: usize = 16;
/// The validation that the last comparison does under the lock.
const THINK: Duration = Duration::from_millis(1);

/// The most quads that are loaded each time. From a larger file, whole subjects are taken, evenly spread over it.
fn limit(settings: &Settings) -> usize {
    if settings.quick { 10_000 } else { 40_000 }
}

fn plan(settings: &Settings) -> Plan {
    settings.plan((5, 150), (2, 150))
}

pub(super) fn expected(settings: &Settings) -> Duration {
    plan(settings).expected(9)
}

pub(super) fn section(settings: &Settings, progress: &mut Progress) -> Result<Section, Failure> {
    progress.part("Triple store");
    let subjects = settings.input.by_subject(limit(settings));
    let loaded: usize = subjects.iter().map(Vec::len).sum();
    let few: Vec<_> = subjects.iter().step_by(subjects.len().div_ceil(200)).cloned().collect();
    // If the directory cannot be written, this is an error here instead of a panic during a measurement.
    drop(tempfile::tempdir_in(&settings.dir)?);

    let plan = plan(settings);
    let durable = progress.compare(&mut cases(settings, &subjects, Durability::Synced, Duration::ZERO), plan);
    let buffered =
        progress.compare(&mut cases(settings, &subjects, Durability::Buffered, Duration::ZERO), plan);
    let thinking = progress.compare(&mut cases(settings, &few, Durability::Buffered, THINK), plan);
    let table = |title: &str, result: &_| {
        Table::of(title, Unit::PerSecond, result, BEFORE, role).with_base("one lock")
    };
    let tables = vec![
        table("Quads loaded by 16 writers, each subject durable at its commit", &durable),
        table("Quads loaded by 16 writers, logged but not synced", &buffered),
        table("The same, with 1 ms of validation under the subject's lock", &thinking),
    ];
    let gain = |table: usize, label: &str| tables[table].row(label).ratio.median;
    let findings = Section::conclude(vec![
        (
            &[&tables[0]],
            format!(
                "With a sync for each commit, stripes held over the write load {:.1} times as fast as one lock, and the store as it is \
                 loads {:.1} times as fast: commits share syncs.",
                gain(0, AFTER),
                gain(0, AS_IS)
            ),
        ),
        (
            &[&tables[1]],
            format!(
                "Without syncs, the processors are the limit: stripes held over the write load {:.2} times as fast as one lock, and the \
                 store as it is loads {:.2} times as fast.",
                gain(1, AFTER),
                gain(1, AS_IS)
            ),
        ),
        (
            &[&tables[2]],
            format!(
                "Stripes help most where a lock is held for long: with 1 ms of validation under the caller's lock, {STRIPES} stripes do \
                 {:.1} times the work of one lock. Without any lock of the caller, the store does {:.1} times the work.",
                gain(2, AFTER),
                gain(2, AS_IS)
            ),
        ),
    ]);
    let sample = if loaded < settings.input.quads.len() {
        format!(" ({loaded} quads of {}, whole subjects taken evenly)", settings.input.quads.len())
    } else {
        format!(" ({loaded} quads)")
    };
    Ok(Section {
        id: "triples",
        title: "What do stripes buy a load of RDF?",
        method: format!(
            "{}{sample}, {} subjects, loaded into a new triple-store by {WRITERS} writers. Each takes the next subject and adds its \
             quads as one transaction. There are {STRIPES} stripes, chosen by subject.",
            settings.input.name,
            subjects.len()
        ),
        headline: tables[0].headline(
            format!("{:.1} x", gain(0, AS_IS)),
            "the rate of one lock, for a durable load by 16 writers into triple-store".to_owned(),
        ),
        findings,
        tables,
        shown: 3,
        plots: vec![],
    })
}

fn cases<'a>(
    settings: &'a Settings,
    subjects: &'a [Vec<Quad>],
    durability: Durability,
    think: Duration,
) -> Vec<Case<'a>> {
    let open = move || {
        let dir = tempfile::tempdir_in(&settings.dir)?;
        Ok((OurQuads::open(dir.path(), durability)?, dir))
    };
    let stripes = Ours::<NamedOrBlankNode, _>::new(STRIPES, DefaultHasher::default());
    vec![
        load(BEFORE, open, Thinking(GlobalMutex(Mutex::new(())), think), subjects, WRITERS),
        load(AFTER, open, Thinking(stripes, think), subjects, WRITERS),
        load(AS_IS, open, Thinking(Unlocked, think), subjects, WRITERS),
    ]
}

/// A lock whose sections begin with a sleep.
struct Thinking<L>(L, Duration);

impl<K: ?Sized, L: KeyLock<K>> KeyLock<K> for Thinking<L> {
    fn with<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        self.0.with(key, || {
            if !self.1.is_zero() {
                std::thread::sleep(self.1);
            }
            section()
        })
    }
}
