use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

proptest! {
    /// The three representations and the changes between them agree with a sorted set.
    #[test]
    fn agrees_with_a_sorted_set(
        bits in 0_u32..13,
        picks in prop::collection::vec((any::<usize>(), prop::bool::weighted(0.7)), 0..120),
        ends in prop::collection::vec(any::<bool>(), 80),
    ) {
        let stripes = 1_usize << bits;
        let mut set = StripeSet::empty(stripes);
        let mut model = BTreeSet::new();
        for (pick, insert) in picks {
            let stripe = pick % stripes;
            if insert {
                prop_assert_eq!(set.insert(stripe), model.insert(stripe));
            } else {
                let stripe = model.range(stripe..).next().copied().unwrap_or(stripe);
                prop_assert_eq!(set.remove(stripe), model.remove(&stripe));
            }
        }
        prop_assert!(set.iter().eq(model.iter().copied()));
        prop_assert!(set.iter().rev().eq(model.iter().rev().copied()));
        prop_assert_eq!(set.len(), model.len());
        prop_assert_eq!((set.first(), set.last()), (model.first().copied(), model.last().copied()));
        // Where a `usize` has 64 bits, this index would be valid if its upper 32 bits were cut off.
        let cut = 1 << (usize::BITS / 2);
        for from in (0..=stripes).chain([cut, cut + 1, usize::MAX]) {
            prop_assert_eq!(set.next_from(from), model.range(from..).next().copied());
            prop_assert_eq!(set.contains(from), model.contains(&from));
        }
        let (mut iter, mut expected) = (set.iter(), model.iter().copied());
        for front in ends {
            if front {
                prop_assert_eq!(iter.next(), expected.next());
            } else {
                prop_assert_eq!(iter.next_back(), expected.next_back());
            }
        }
    }
}

#[test]
fn all_is_every_stripe_of_any_count() {
    for stripes in [1, 2, 63, 64, 65, 127, 128, 129, 1 << 16] {
        assert!(StripeSet::all(stripes).iter().eq(0..stripes), "{stripes}");
    }
}

#[test]
fn up_to_sixteen_stay_inline() {
    let mut set = StripeSet::empty(1024);
    let picked: Vec<usize> = (0..16).map(|i| i * 61).collect();
    assert!(picked.iter().all(|&stripe| set.insert(stripe)));
    assert!(matches!(set.repr, Repr::Few { .. }));
    assert!(set.insert(1));
    assert!(matches!(set.repr, Repr::Map(_)));
}
