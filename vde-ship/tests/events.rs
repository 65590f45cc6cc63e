//! Two shippers at once, the removal of what is old, outages, and followers.

mod common;

use std::time::{Duration, SystemTime};

use common::{Flaky, Model, contents, quick, restored, small};
use fastrand::Rng;
use vde_ship::{Bug, Error, Follower, Point, ShipOptions, ship_once, verify};
use vde_store::{Durability, Vde, VdeOptions};

/// A long time for what should happen at once.
const LONG: Duration = Duration::from_secs(20);

/// Two shippers of two stores write to one bucket. Whether the first one learns that it lost, and the second one's
/// writes are restored. `removing`: whether what the first one shipped is removed meanwhile.
async fn is_fenced(options: &ShipOptions, removing: bool) -> bool {
    let flaky = Flaky::new(1);
    let (first, second) = (small().in_memory().unwrap(), small().in_memory().unwrap());
    let of_first = options.clone().interval(LONG).start(&first, flaky.bucket()).await.unwrap();
    of_first.wait(first.put("first", "1").unwrap()).await.unwrap();
    let of_second = options.clone().start(&second, flaky.bucket()).await.unwrap();
    if removing {
        // Each part begins a base, and each base removes what is older.
        for _ in 0..20 {
            of_second.wait(second.put("second", "1").unwrap()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
        few_are_left(&flaky, 9).await;
    }
    let late = first.put("first", "2").unwrap();
    let outcome = of_first.wait(late).await;
    let fenced = matches!(outcome, Err(Error::Fenced { .. })) && of_first.shipped() < late;
    if fenced {
        assert!(matches!(of_first.error(), Some(Error::Fenced { .. })));
        assert!(matches!(of_first.close().await, Err(Error::Fenced { .. })));
    }
    let version = second.put("second", "2").unwrap();
    let shipped = of_second.wait(version).await.is_ok();
    drop(of_second);
    let found = restored(&flaky.steady(), Point::Newest).await;
    fenced && shipped && found.is_ok_and(|(_, found, _)| found == contents(&second.read_view()))
}

#[tokio::test(start_paused = true)]
async fn of_two_shippers_the_later_one_wins_and_the_other_learns_it() {
    assert!(is_fenced(&quick(), false).await);
    assert!(is_fenced(&removing(), true).await);
    assert!(!is_fenced(&quick().plant(Bug::Unconditional), false).await, "the planted bug is found");
    assert!(!is_fenced(&removing().plant(Bug::RemoveTakeovers), true).await, "the planted bug is found");
}

#[tokio::test(start_paused = true)]
async fn of_shippers_that_start_at_once_one_ships() {
    for seed in 0..10 {
        let flaky = Flaky::new(seed);
        let stores: Vec<_> = (0..3).map(|_| small().in_memory().unwrap()).collect();
        let starts = stores.iter().map(|store| quick().start(store, flaky.bucket()));
        let shippers = futures_util::future::join_all(starts).await;
        let mut winners = Vec::new();
        for (shipper, store) in shippers.into_iter().zip(&stores) {
            let shipper = shipper.unwrap();
            match shipper.wait(store.put("k", "v").unwrap()).await {
                Ok(()) => winners.push((shipper, store)),
                Err(Error::Fenced { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let (_, winner) = winners.pop().expect("one of them ships");
        assert!(winners.is_empty());
        let (_, found, _) = restored(&flaky.steady(), Point::Newest).await.unwrap();
        assert_eq!(found, contents(&winner.read_view()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_shipper_of_the_same_store_continues_without_a_base() {
    let flaky = Flaky::new(1);
    let store = small().in_memory().unwrap();
    let shipper = quick().start(&store, flaky.bucket()).await.unwrap();
    store.put("k", "1").unwrap();
    shipper.close().await.unwrap();
    store.put("k", "2").unwrap();
    let shipper = quick().start(&store, flaky.bucket()).await.unwrap();
    shipper.wait(store.put("l", "3").unwrap()).await.unwrap();
    assert_eq!(shipper.uploads().1, 0);
    shipper.close().await.unwrap();
    assert_eq!(restored(&flaky.steady(), Point::Newest).await.unwrap().1, contents(&store.read_view()));

    // Another store with the same versions does not continue.
    let other = small().in_memory().unwrap();
    for _ in 0..5 {
        other.put("other", "v").unwrap();
    }
    let shipper = quick().start(&other, flaky.bucket()).await.unwrap();
    shipper.wait(5).await.unwrap();
    assert_eq!(shipper.uploads().1, 1);
    assert_eq!(restored(&flaky.steady(), Point::Newest).await.unwrap().1, contents(&other.read_view()));
}

/// A shipper that makes a base after each part, and removes what is older.
fn removing() -> ShipOptions {
    quick().base_every(Duration::ZERO).keep(Duration::ZERO)
}

/// Waits until `number` or fewer objects are left.
async fn few_are_left(flaky: &Flaky, number: usize) {
    let few = async {
        while flaky.names().await.len() > number {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, few).await.expect("what is old is removed");
}

#[tokio::test]
async fn points_that_are_to_be_kept_are_kept() {
    const KEEP: Duration = Duration::from_millis(40);
    let (flaky, mut rng, mut model) = (Flaky::new(1), Rng::with_seed(5), Model::default());
    let store = small().in_memory().unwrap();
    let shipper = removing().keep(KEEP).start(&store, flaky.bucket()).await.unwrap();
    let mut points = Vec::new();
    for _ in 0..40 {
        model.write(&store, &mut rng);
        shipper.wait(store.durable()).await.unwrap();
        points.push((SystemTime::now(), store.durable()));
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    shipper.close().await.unwrap();
    let closed = SystemTime::now();
    let verified = verify(&flaky.steady()).await.unwrap();
    assert!(verified.is_clean(), "{verified:?}");
    for (time, version) in points {
        // What was removed had this age before, and is older now.
        let is_kept = closed.duration_since(time).unwrap() < KEEP;
        match restored(&flaky.steady(), Point::Time(time)).await {
            Ok((_, found, _)) => assert_eq!(found, model.at(version)),
            Err(error) => assert!(matches!(error, Error::NoBase) && !is_kept, "{error}"),
        }
    }
    let (_, newest, _) = restored(&flaky.steady(), Point::Newest).await.unwrap();
    assert_eq!(newest, contents(&store.read_view()));
}

#[tokio::test(start_paused = true)]
async fn what_is_old_is_removed_and_no_more() {
    for bug in [None, Some(Bug::RemoveTooMuch)] {
        let flaky = Flaky::new(1);
        let store = small().in_memory().unwrap();
        let options = bug.map_or_else(removing, |bug| removing().plant(bug));
        let shipper = options.start(&store, flaky.bucket()).await.unwrap();
        for i in 0..30 {
            shipper.wait(store.put("k", vec![1; 9000 + i]).unwrap()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(i as u64 % 5)).await;
        }
        // The takeover and its marker; the base, its chunk, and the entry before it.
        few_are_left(&flaky, 5).await;
        shipper.close().await.unwrap();
        let found = restored(&flaky.steady(), Point::Newest).await;
        let is_there = found.is_ok_and(|(_, found, _)| found == contents(&store.read_view()));
        assert_eq!(is_there, bug.is_none(), "the planted bug is found, and nothing else");
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_the_shipper_catches_up() {
    let flaky = Flaky::new(1);
    let store = small().in_memory().unwrap();
    let shipper = quick().start(&store, flaky.bucket()).await.unwrap();
    shipper.wait(store.put("before", "v").unwrap()).await.unwrap();
    flaky.go_away(true);
    let write = |i: u32| store.put(format!("key {:03}", i % 100), i.to_string()).unwrap();
    (0..3000).for_each(|i| _ = write(i));
    let version = store.durable();
    assert!(tokio::time::timeout(Duration::from_millis(50), shipper.wait(version)).await.is_err());
    let lag = shipper.lag();
    assert!(lag.writes >= 3000 && lag.age > Duration::ZERO, "{lag:?}");
    assert!(lag.bytes < 3000, "a key counts once: {lag:?}");
    let in_stats = || store.stats().unwrap().ship_lag.unwrap().bytes;
    assert_eq!(in_stats(), lag.bytes);
    assert!(matches!(shipper.error(), Some(Error::Objects { .. })));
    flaky.go_away(false);
    tokio::time::timeout(LONG, shipper.wait(version)).await.unwrap().unwrap();
    assert_eq!(shipper.uploads().1, 1, "there is no second base");
    assert_eq!((shipper.lag().bytes, shipper.lag().writes, in_stats()), (0, 0, 0));
    assert!(shipper.error().is_none());
    assert_eq!(restored(&flaky.steady(), Point::Newest).await.unwrap().1, contents(&store.read_view()));
}

#[tokio::test(start_paused = true)]
async fn a_long_outage_takes_bounded_memory_and_ends_with_a_base() {
    for fell_behind in [false, true] {
        let flaky = Flaky::new(1);
        let options = if fell_behind { small().watch_bytes(4 << 10) } else { small() };
        let store = options.in_memory().unwrap();
        let shipper = quick().memory(10_000).start(&store, flaky.bucket()).await.unwrap();
        let before = store.put("before", "v").unwrap();
        shipper.wait(before).await.unwrap();
        flaky.go_away(true);
        for i in 0..2000 {
            store.put(format!("key {i}"), "v").unwrap();
            if !fell_behind && i % 20 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let version = store.durable();
        assert!(tokio::time::timeout(Duration::from_millis(30), shipper.wait(version)).await.is_err());
        assert!(shipper.lag().bytes < 10_000, "{:?}", shipper.lag());
        assert_eq!(shipper.shipped(), before);
        assert_eq!(restored(&flaky.steady(), Point::Newest).await.unwrap().1.len(), 1);
        flaky.go_away(false);
        tokio::time::timeout(LONG, shipper.wait(version)).await.unwrap().unwrap();
        assert_eq!(shipper.uploads().1, 2);
        assert_eq!(restored(&flaky.steady(), Point::Newest).await.unwrap().1, contents(&store.read_view()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_shipper_that_forgot_changes_does_not_take_over_again() {
    let flaky = Flaky::new(1);
    let (first, second) = (small().in_memory().unwrap(), small().in_memory().unwrap());
    let shipper = quick().memory(1000).start(&first, flaky.bucket()).await.unwrap();
    shipper.wait(first.put("k", "v").unwrap()).await.unwrap();
    flaky.go_away(true);
    for i in 0..100 {
        first.put(format!("key {i}"), "v").unwrap();
    }
    let waited = tokio::time::timeout(Duration::from_millis(30), shipper.wait(first.durable())).await;
    assert!(waited.is_err(), "the object store is away");
    let later = quick().start(&second, flaky.steady()).await.unwrap();
    later.wait(second.put("k", "of the second").unwrap()).await.unwrap();
    flaky.go_away(false);
    assert!(matches!(shipper.wait(first.durable()).await, Err(Error::Fenced { .. })));
    later.wait(second.put("k", "later").unwrap()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_write_that_waits_for_the_shipper_is_shipped() {
    for bug in [None, Some(Bug::TellEarly)] {
        let flaky = Flaky::new(1);
        let store = small().in_memory().unwrap();
        let options = bug.map_or_else(quick, |bug| quick().plant(bug));
        let shipper = options.start(&store, flaky.bucket()).await.unwrap();
        let waiting = store.with_durability(Durability::Shipped).to_async();
        waiting.put("first", "v").await.unwrap();
        flaky.fail_percent(30);
        let mut kept = true;
        for i in 0..20 {
            waiting.put(format!("key {i}"), "v").await.unwrap();
            let (_, found, _) = restored(&flaky.steady(), Point::Newest).await.unwrap();
            kept &= found == contents(&store.read_view());
        }
        assert_eq!(kept, bug.is_none(), "the planted bug is found, and nothing else");
        if bug.is_some() {
            continue;
        }

        // During an outage it waits.
        flaky.go_away(true);
        let put = tokio::time::timeout(Duration::from_millis(30), waiting.put("late", "v")).await;
        assert!(put.is_err());
        flaky.go_away(false);
        waiting.flush().await.unwrap();
        assert!(restored(&flaky.steady(), Point::Newest).await.unwrap().1.contains_key(&b"late"[..]));

        // Another shipper takes over.
        let other = small().in_memory().unwrap();
        let later = quick().start(&other, flaky.steady()).await.unwrap();
        let refused = waiting.put("after", "v").await;
        let Err(vde_store::Error::NotShipped { cause: Some(cause) }) = refused else { panic!("{refused:?}") };
        assert!(matches!(cause.downcast_ref(), Some(Error::Fenced { .. })), "{cause}");
        assert!(store.contains("after").unwrap());
        drop((later, shipper));
        let refused = store.with_durability(Durability::Shipped).put("at the end", "v");
        assert!(matches!(refused, Err(vde_store::Error::NotShipped { .. })));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stuck_object_store_delays_no_writer() {
    let flaky = Flaky::new(1);
    let store = small().in_memory().unwrap();
    let shipper = quick().start(&store, flaky.bucket()).await.unwrap();
    shipper.wait(store.put("before", "v").unwrap()).await.unwrap();
    flaky.stick_at(1);
    let mut last = 0;
    for i in 0..200 {
        last = store.put(format!("key {}", i % 20), "v").unwrap();
        if i % 50 == 0 {
            store.checkpoint().unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    assert!(flaky.calls() > 0, "a call is stuck");
    assert_eq!(store.durable(), last);
    assert!(shipper.lag().writes > 0 && shipper.shipped() < last);
    flaky.stick_at(0);
    tokio::time::timeout(Duration::from_mins(5), shipper.wait(last)).await.unwrap().unwrap();
    assert_eq!(restored(&flaky.steady(), Point::Newest).await.unwrap().1, contents(&store.read_view()));
}

#[tokio::test(start_paused = true)]
async fn one_store_is_shipped_to_two_places() {
    let (near, far, mut rng, mut model) = (Flaky::new(1), Flaky::new(2), Rng::with_seed(3), Model::default());
    let store = small().in_memory().unwrap();
    let to_near = quick().start(&store, near.bucket()).await.unwrap();
    let to_far = quick().start(&store, far.bucket()).await.unwrap();
    for round in 0..20 {
        far.go_away(round % 5 == 3);
        model.write(&store, &mut rng);
        to_near.wait(store.durable()).await.unwrap();
    }
    far.go_away(false);
    to_far.wait(store.durable()).await.unwrap();
    assert!(to_near.shipped() >= store.durable());
    for place in [near, far] {
        assert_eq!(restored(&place.steady(), Point::Newest).await.unwrap().1, contents(&store.read_view()));
    }
}

fn of_follower(follower: &Follower) -> common::Contents {
    contents(&follower.store().read_view())
}

#[tokio::test(start_paused = true)]
async fn a_follower_is_at_a_point_and_continues_where_it_was() {
    let (flaky, mut rng, mut model) = (Flaky::new(1), Rng::with_seed(1), Model::default());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("replica.vde");
    let store = small().in_memory().unwrap();
    let shipper = quick().start(&store, flaky.bucket()).await.unwrap();
    model.write(&store, &mut rng);
    shipper.wait(store.durable()).await.unwrap();
    let mut follower = Follower::open(flaky.bucket(), &path).await.unwrap();
    for round in 0..40 {
        model.write(&store, &mut rng);
        shipper.wait(store.durable()).await.unwrap();
        if rng.bool() {
            flaky.fail_percent(30);
            while follower.catch_up().await.is_err() {
                assert_eq!(of_follower(&follower), model.at(follower.version()));
            }
            flaky.fail_percent(0);
            assert_eq!(of_follower(&follower), contents(&store.read_view()), "round {round}");
        }
        if rng.u8(..10) == 0 {
            drop(follower);
            follower = Follower::open(flaky.bucket(), &path).await.unwrap();
            assert_eq!(of_follower(&follower), model.at(follower.version()));
        }
    }
    follower.catch_up().await.unwrap();
    assert!(follower.lag() < LONG);
    drop(shipper);

    // It takes over from the lost store.
    let promoted = follower.promote().await.unwrap();
    assert_eq!(promoted.list("").count(), contents(&store.read_view()).len());
    let shipper = quick().start(&promoted, flaky.bucket()).await.unwrap();
    let version = promoted.put("k", "of the promoted").unwrap();
    assert!(version > store.durable());
    shipper.wait(version).await.unwrap();
    let (_, found, _) = restored(&flaky.bucket(), Point::Newest).await.unwrap();
    assert_eq!(found, contents(&promoted.read_view()));
}

/// A follower ends at each call of the object store in turn, and is opened again. What it is then, if that is no point
/// of the store, or an earlier point than before.
async fn reopened(bug: Option<Bug>) -> Result<(), String> {
    let (flaky, mut rng, mut model) = (Flaky::new(1), Rng::with_seed(3), Model::default());
    let dir = tempfile::tempdir().unwrap();
    let (path, first) = (dir.path().join("replica.vde"), dir.path().join("first.vde"));
    let store = small().in_memory().unwrap();
    let shipper = quick().start(&store, flaky.bucket()).await.unwrap();
    model.write(&store, &mut rng);
    shipper.wait(store.durable()).await.unwrap();
    drop(Follower::open(flaky.bucket(), &path).await.unwrap());
    std::fs::rename(&path, &first).unwrap();
    for _ in 0..4 {
        model.write(&store, &mut rng);
        // It has chunks of its own.
        store.put("large", vec![rng.u8(..); 12_000]).unwrap();
        model.note(&store);
        shipper.wait(store.durable()).await.unwrap();
    }
    for call in 1.. {
        std::fs::copy(&first, &path).unwrap();
        let mut follower = Follower::open(flaky.bucket(), &path).await.unwrap();
        if let Some(bug) = bug {
            follower = follower.plant(bug);
        }
        flaky.fail_at(call);
        let is_whole = follower.catch_up().await.is_ok();
        flaky.fail_at(0);
        let before = follower.version();
        drop(follower);
        let mut follower = Follower::open(flaky.bucket(), &path).await.unwrap();
        if follower.version() < before {
            return Err(format!("call {call}: it went back from {before} to {}", follower.version()));
        }
        if of_follower(&follower) != model.at(follower.version()) {
            return Err(format!("call {call}: it is not as the store was at {}", follower.version()));
        }
        follower.catch_up().await.unwrap();
        if of_follower(&follower) != contents(&store.read_view()) {
            return Err(format!("call {call}: it does not catch up"));
        }
        if is_whole {
            assert!(call > 12, "{call}");
            break;
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_ends_at_any_call_continues() {
    reopened(None).await.unwrap();
    for bug in [Bug::ForgetPosition, Bug::NoteEarly] {
        assert!(reopened(Some(bug)).await.is_err(), "the planted bug is found: {bug:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_follower_is_restored_anew_if_it_cannot_continue() {
    let flaky = Flaky::new(1);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("replica.vde");
    let store = small().in_memory().unwrap();
    store.put("k", "1").unwrap();
    ship_once(&store, &flaky.bucket()).await.unwrap();
    let mut follower = Follower::open(flaky.bucket(), &path).await.unwrap();
    let old = follower.store().clone();
    assert_eq!(follower.catch_up().await.unwrap(), 0);

    // Another store takes over.
    let other = small().in_memory().unwrap();
    other.put("other", "v").unwrap();
    ship_once(&other, &flaky.bucket()).await.unwrap();
    follower.catch_up().await.unwrap();
    assert_eq!(of_follower(&follower), contents(&other.read_view()));
    assert_eq!(old.get("k").unwrap().unwrap(), b"1", "a handle to the old store still reads it");
    drop(old);

    // What it needs was removed. It was away, so it looks at once.
    drop(follower);
    let shipper = removing().start(&other, flaky.bucket()).await.unwrap();
    for i in 0..20_u8 {
        shipper.wait(other.put([i], "v").unwrap()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    few_are_left(&flaky, 12).await;
    shipper.close().await.unwrap();
    let mut follower = Follower::open(flaky.bucket(), &path).await.unwrap();
    follower.catch_up().await.unwrap();
    assert_eq!(of_follower(&follower), contents(&other.read_view()));

    let plain = dir.path().join("plain.vde");
    Vde::create(&plain).unwrap().put("k", "v").unwrap();
    assert!(matches!(Follower::open(flaky.bucket(), &plain).await, Err(Error::File { .. })));
    let kept = VdeOptions::new().open(&plain).unwrap();
    assert_eq!(kept.get("k").unwrap().unwrap(), b"v");
}

#[tokio::test(start_paused = true)]
async fn a_follower_can_be_shipped_in_turn() {
    let (near, far) = (Flaky::new(1), Flaky::new(2));
    let dir = tempfile::tempdir().unwrap();
    let store = small().in_memory().unwrap();
    store.put("a", "1").unwrap();
    let shipper = quick().start(&store, near.bucket()).await.unwrap();
    shipper.wait(1).await.unwrap();
    let mut follower = Follower::open(near.bucket(), dir.path().join("replica.vde")).await.unwrap();
    let onward = quick().start(follower.store(), far.bucket()).await.unwrap();
    store.put("b", "2").unwrap();
    store.clear().unwrap();
    shipper.wait(store.put("c", "3").unwrap()).await.unwrap();
    follower.catch_up().await.unwrap();
    onward.close().await.unwrap();
    let (_, found, _) = restored(&far.steady(), Point::Newest).await.unwrap();
    assert_eq!(found, contents(&store.read_view()));
}
