//! Tests of the dictionary, in memory and on disk.

use super::*;
use crate::storage::live::Live;
use crate::storage::pages::{Pages, Source, page_key};
use oxrdf::vocab::xsd;
use oxrdf::{BaseDirection, BlankNode, Literal, NamedNode, Term, Triple};
use std::sync::OnceLock;

pub(crate) fn empty() -> Dictionary {
    Dictionary::new(Archive::empty(&Pages::new(None, 0)), 0)
}

fn terms() -> Vec<Term> {
    let node = NamedNode::new_unchecked("http://example.com/a");
    let own = NamedNode::new_unchecked("http://example.com/type");
    vec![
        node.clone().into(),
        BlankNode::new_unchecked("http://example.com/a").into(),
        BlankNode::new_from_unique_id(0xabc).into(),
        Literal::new_simple_literal("http://example.com/a").into(),
        Literal::new_simple_literal("short").into(),
        Literal::new_typed_literal("007", xsd::INTEGER).into(),
        Literal::new_typed_literal("7", xsd::INTEGER).into(),
        Literal::new_typed_literal("7", own.clone()).into(),
        Literal::new_language_tagged_literal_unchecked("chat", "fr").into(),
        Literal::new_language_tagged_literal_unchecked("chat", "en").into(),
        Literal::new_language_tagged_literal_unchecked("", format!("en-{}", "x".repeat(300))).into(),
        Literal::new_directional_language_tagged_literal_unchecked("chat", "en", BaseDirection::Ltr).into(),
        Literal::new_directional_language_tagged_literal_unchecked("chat", "en", BaseDirection::Rtl).into(),
        Triple::new(node.clone(), own.clone(), Literal::new_typed_literal("x", own)).into(),
    ]
}

#[test]
fn terms_come_back_and_distinct_terms_have_distinct_ids() {
    let dictionary = empty();
    let ids: Vec<_> = terms().iter().map(|term| dictionary.intern(term.as_ref()).unwrap()).collect();
    for (i, (term, id)) in terms().iter().zip(&ids).enumerate() {
        assert_eq!(dictionary.resolve(*id).unwrap(), *term);
        assert_eq!(dictionary.lookup(term.as_ref()).unwrap(), Some(*id));
        assert_eq!(ids.iter().position(|other| other == id), Some(i), "{term}");
    }
    assert_eq!(
        dictionary.lookup(NamedNode::new_unchecked("http://example.com/none").as_ref().into()).unwrap(),
        None
    );
}

#[test]
fn a_record_holds_the_parts_of_its_terms_before_the_terms_themselves() {
    let (dictionary, copy) = (empty(), empty());
    for term in terms().iter().rev() {
        let id = dictionary.intern(term.as_ref()).unwrap();
        let mut record = Vec::new();
        dictionary.unpersisted(id, &mut |id, bytes| record.push((id, bytes.to_vec()))).unwrap();
        for (id, bytes) in &record {
            copy.restore(*id, bytes).unwrap();
            copy.restore(*id, bytes).unwrap();
            dictionary.mark_persisted(*id);
        }
        dictionary.unpersisted(id, &mut |id, _| panic!("{id:?} was written twice")).unwrap();
        assert_eq!(copy.resolve(id).unwrap(), *term);
        assert_eq!(copy.lookup(term.as_ref()).unwrap(), Some(id));
    }
}

#[test]
fn threads_that_intern_the_same_terms_agree() {
    let dictionary = empty();
    let intern_all = || -> Vec<TermId> {
        (0..2000)
            .map(|i| dictionary.intern(NamedNode::new_unchecked(format!("urn:{i}")).as_ref().into()).unwrap())
            .collect()
    };
    let ids: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(intern_all)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|other| *other == ids[0]));
    assert_eq!(dictionary.len(), 2000);
}
fn stored() -> Dictionary {
    let vde = vde_store::VdeOptions::new().background(false).in_memory().unwrap();
    Dictionary::new(Archive::empty(&Pages::new(Some(Source::Store(vde)), 0)), 0)
}

/// What a checkpoint does with the dictionary.
fn archive(dictionary: &Dictionary) {
    dictionary.adopt(dictionary.next_archives(&dictionary.undurable()).unwrap());
}

#[test]
fn terms_that_a_checkpoint_moves_to_the_disk_come_back_and_leave_memory() {
    let dictionary = stored();
    let long = Literal::new_simple_literal("a long text ".repeat(1000));
    let terms = || terms().into_iter().chain([long.clone().into()]);
    let ids: Vec<_> = terms().map(|term| dictionary.intern(term.as_ref()).unwrap()).collect();
    let others: Vec<_> = (0..5000)
        .map(|n| {
            let node = NamedNode::new_unchecked(format!("urn:{n}"));
            dictionary.intern(node.as_ref().into()).unwrap()
        })
        .collect();
    let used = dictionary.undurable();
    for id in &ids {
        used.mark(*id);
    }
    dictionary.adopt(dictionary.next_archives(&used).unwrap());
    for id in &others {
        dictionary.mark_persisted(*id);
    }
    archive(&dictionary);
    assert_eq!(dictionary.recent(), []);
    assert!(dictionary.recent.get(0).is_none(), "its page is gone");
    assert_eq!(dictionary.archive().len(), dictionary.len());
    for (term, id) in terms().zip(&ids) {
        assert_eq!(dictionary.resolve(*id).unwrap(), term);
        assert_eq!(dictionary.lookup(term.as_ref()).unwrap(), Some(*id));
        assert_eq!(dictionary.intern(term.as_ref()).unwrap(), *id);
        assert!(dictionary.knows(*id).unwrap());
        let number = id.payload();
        let other = if id.kind() == Some(Kind::NamedNode) { Kind::BlankNode } else { Kind::NamedNode };
        assert!(id.dictionary_index().is_none() || !dictionary.knows(TermId::new(other, number)).unwrap());
        dictionary.unpersisted(*id, &mut |id, _| panic!("{id:?} is in a checkpoint")).unwrap();
    }
    for (n, id) in others.iter().enumerate() {
        let node = NamedNode::new_unchecked(format!("urn:{n}"));
        assert_eq!(dictionary.lookup(node.as_ref().into()).unwrap(), Some(*id));
    }
    assert!(!dictionary.knows(TermId::new(Kind::NamedNode, dictionary.next())).unwrap());
}

fn terms_that_move_keep_their_numbers(moves: impl Fn(&Dictionary)) {
    const TERMS: u64 = 3000;
    let dictionary = stored();
    let working = AtomicU64::new(4);
    let intern_all = || -> Vec<TermId> {
        let intern = |n| {
            let node = NamedNode::new_unchecked(format!("urn:{}", n % TERMS));
            let id = dictionary.intern(node.as_ref().into()).unwrap();
            dictionary.mark_persisted(id);
            assert_eq!(dictionary.resolve(id).unwrap(), node.into());
            id
        };
        let ids: Vec<_> = (0..2 * TERMS).map(intern).collect();
        working.fetch_sub(1, Ordering::Release);
        ids
    };
    let ids: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(intern_all)).collect();
        while working.load(Ordering::Acquire) > 0 {
            moves(&dictionary);
        }
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|other| *other == ids[0]));
    assert_eq!(ids[0][..TERMS as usize], ids[0][TERMS as usize..]);
    assert_eq!((dictionary.len(), dictionary.next()), (TERMS, TERMS));
    archive(&dictionary);
    // Each term is in a record, so a checkpoint has to make it durable, whatever moved it before.
    assert_eq!(dictionary.durable().len(), TERMS);
    assert!(Arc::ptr_eq(&dictionary.durable(), &dictionary.archive()));
    assert_eq!(dictionary.memory(), 0);
}

#[test]
fn a_term_that_moves_keeps_its_number() {
    terms_that_move_keep_their_numbers(archive);
    terms_that_move_keep_their_numbers(|dictionary| dictionary.spill().unwrap());
    terms_that_move_keep_their_numbers(|dictionary| {
        dictionary.spill().unwrap();
        archive(dictionary);
    });
}

/// The ids of one term, searched by two threads, when a checkpoint moves it after the first has not found it.
fn ids_when_a_checkpoint_comes_between() -> [TermId; 2] {
    let dictionary = Arc::new(stored());
    let intern = |dictionary: &Dictionary| {
        let node = NamedNode::new_unchecked("urn:a");
        let id = dictionary.intern(node.as_ref().into()).unwrap();
        dictionary.mark_persisted(id);
        id
    };
    let (other, found) = (Arc::clone(&dictionary), Arc::new(OnceLock::new()));
    planted::set_meanwhile({
        let found = Arc::clone(&found);
        move || {
            found.set(intern(&other)).unwrap();
            archive(&other);
        }
    });
    let id = intern(&dictionary);
    [id, *found.get().unwrap()]
}

#[test]
fn a_term_that_a_checkpoint_moves_during_the_search_keeps_its_number() {
    let [id, other] = ids_when_a_checkpoint_comes_between();
    assert_eq!(id, other);
}

/// The negative control of the test above.
#[test]
fn a_search_that_trusts_an_old_archive_is_found() {
    planted::plant(Bug::TrustOldArchive);
    let [id, other] = ids_when_a_checkpoint_comes_between();
    assert_ne!(id, other);
}

/// The terms of a load that are spilled, of which a record contains some and a quad has others. What is durable then.
#[test]
fn a_spilled_term_is_durable_once_a_record_or_a_quad_has_it() {
    let dictionary = stored();
    let intern = |term: &Term| dictionary.intern(term.as_ref()).unwrap();
    let node = |n: u64| -> Term { NamedNode::new_unchecked(format!("urn:{n}")).into() };
    let text = |n: u64| -> Term {
        let datatype = NamedNode::new_unchecked(format!("urn:type{n}"));
        Literal::new_typed_literal("long ".repeat(if n.is_multiple_of(2) { 1 } else { 1000 }), datatype)
            .into()
    };
    let terms = |n: u64| [node(n), text(n)];
    let ids: Vec<_> = (0..300)
        .map(|n| {
            if n % 30 == 0 {
                dictionary.spill().unwrap();
            }
            terms(n).map(|term| intern(&term))
        })
        .collect();
    dictionary.spill().unwrap();
    assert_eq!((dictionary.memory(), dictionary.recent()), (0, Vec::new()));
    assert_eq!((dictionary.archive().len(), dictionary.durable().len()), (900, 0));
    let is_durable = |id: TermId| dictionary.durable().has(id).unwrap();
    let check = |of: &dyn Fn(u64) -> bool| {
        for (n, ids) in (0..).zip(&ids) {
            for (term, id) in terms(n).iter().zip(ids) {
                assert_eq!(dictionary.resolve(*id).unwrap(), *term);
                assert_eq!((intern(term), is_durable(*id)), (*id, of(n)), "{term}");
            }
            let Term::Literal(literal) = text(n) else { unreachable!("it is a literal") };
            let datatype = dictionary.lookup(literal.datatype().into()).unwrap().unwrap();
            assert_eq!(is_durable(datatype), of(n), "{datatype:?}");
        }
    };
    // A record has the datatype too.
    for [node, text] in ids.iter().step_by(7) {
        let mut record = Vec::new();
        dictionary.unpersisted(*node, &mut |id, _| record.push(id)).unwrap();
        dictionary.unpersisted(*text, &mut |id, _| record.push(id)).unwrap();
        assert_eq!((record.len(), record[2]), (3, *text));
        for id in &record {
            dictionary.mark_persisted(*id);
        }
        dictionary.unpersisted(*text, &mut |id, _| panic!("{id:?} is in a record")).unwrap();
    }
    check(&|_| false);
    archive(&dictionary);
    check(&|n| n % 7 == 0);
    // Quads have the texts and not the datatypes.
    let used = dictionary.undurable();
    ids.iter().step_by(5).flatten().for_each(|id| used.mark(*id));
    dictionary.adopt(dictionary.next_archives(&used).unwrap());
    check(&|n| n % 7 == 0 || n % 5 == 0);
    let used = dictionary.undurable();
    ids.iter().flatten().for_each(|id| used.mark(*id));
    dictionary.adopt(dictionary.next_archives(&used).unwrap());
    check(&|_| true);
    assert!(Arc::ptr_eq(&dictionary.durable(), &dictionary.archive()));
}

/// Terms that are looked up after the next archive is made, and the others.
#[test]
fn a_sweep_keeps_what_is_collected_before_and_found_since_with_its_parts() {
    let dictionary = stored();
    let text = |n: u64| -> Term {
        let datatype = NamedNode::new_unchecked(format!("urn:type{}", n / 2));
        Literal::new_typed_literal(format!("{n}{}", "long ".repeat((n % 2 * 1000) as usize)), datatype).into()
    };
    let ids: Vec<_> = (0..640).map(|n| dictionary.intern(text(n).as_ref()).unwrap()).collect();
    for number in 0..dictionary.next() {
        dictionary.mark_persisted(TermId::new(Kind::Literal, number));
    }
    archive(&dictionary);
    assert_eq!((dictionary.len(), dictionary.recent()), (960, Vec::new()));
    let lookup = |n: u64| dictionary.lookup(text(n).as_ref()).unwrap();
    let (is_kept, is_found) = (|n: u64| n.is_multiple_of(50), |n: u64| n % 50 == 7);
    dictionary.begin_sweep();
    dictionary.keep((0..640).filter(|n| is_kept(*n)).map(|n| ids[n as usize]));
    let next = dictionary.swept().unwrap().unwrap();
    assert_eq!(next.len(), 26, "the texts and their datatypes");
    for n in (0..640).filter(|n| is_found(*n)) {
        assert_eq!(lookup(n), Some(ids[n as usize]));
    }
    let refused = dictionary.adopt_swept(next.clone(), |_| Err(Error::Corrupt("as if".into())));
    assert!(refused.is_err());
    assert_eq!((dictionary.len(), dictionary.archive().len()), (960, 960), "nothing has changed");
    let stays = |n: u64| is_kept(n) || is_found(n);
    for n in (0..640).filter(|n| is_found(*n)) {
        assert_eq!(lookup(n), Some(ids[n as usize]));
    }
    // What was found before the failure is in the list no more.
    let next = dictionary.swept().unwrap().unwrap();
    assert!(dictionary.adopt_swept(next, |_| Ok(())).unwrap());
    dictionary.end_sweep();
    assert_eq!((dictionary.len(), dictionary.archive().len()), (52, 52));
    for (n, id) in (0..640).zip(&ids) {
        assert_eq!(lookup(n), stays(n).then_some(*id));
        assert_eq!(dictionary.resolve(*id).ok(), stays(n).then(|| text(n)));
        assert_eq!(dictionary.intern(text(n).as_ref()).unwrap() == *id, stays(n), "no number is used again");
    }
}

/// Of terms whose hashes are often equal, the number of those that are found under another id, or under one although they
/// are not there.
fn confused_terms() -> usize {
    planted::plant(Bug::ShortHash);
    let dictionary = stored();
    let node = |n| NamedNode::new_unchecked(format!("urn:{n}"));
    let ids: Vec<_> = (0..200).map(|n| dictionary.intern(node(n).as_ref().into()).unwrap()).collect();
    for id in &ids {
        dictionary.mark_persisted(*id);
    }
    archive(&dictionary);
    let found = |n: usize| dictionary.lookup(node(n).as_ref().into()).unwrap();
    (0..400).filter(|n| found(*n) != ids.get(*n).copied()).count()
}

#[test]
fn terms_with_equal_hashes_are_told_apart() {
    assert_eq!(confused_terms(), 0);
}

/// The negative control of the test above.
#[test]
fn an_index_that_trusts_hashes_is_found() {
    planted::plant(Bug::TrustHash);
    assert!(confused_terms() > 100);
}

#[test]
fn a_term_that_was_found_is_found_again_without_a_read_until_it_is_gone() {
    let vde = vde_store::VdeOptions::new().background(false).in_memory().unwrap();
    let dictionary = Dictionary::new(Archive::empty(&Pages::new(Some(Source::Store(vde.clone())), 0)), 0);
    let lookup = |n: u64| {
        let node = NamedNode::new_unchecked(format!("urn:{n}"));
        dictionary.lookup(node.as_ref().into())
    };
    for n in 0..100 {
        let node = NamedNode::new_unchecked(format!("urn:{n}"));
        dictionary.mark_persisted(dictionary.intern(node.as_ref().into()).unwrap());
    }
    archive(&dictionary);
    let found = lookup(1).unwrap().unwrap();
    let live = Live::new(0..dictionary.next());
    (0..dictionary.next())
        .filter(|n| *n != found.payload())
        .for_each(|n| live.mark(TermId::new(Kind::NamedNode, n)));
    let (whole, less) = (dictionary.archive(), dictionary.archive().without(&live).unwrap());
    for number in whole.numbers() {
        vde.delete(page_key(number)).unwrap();
    }
    assert_eq!(lookup(1).unwrap(), Some(found));
    assert!(lookup(2).is_err(), "its page is gone");
    dictionary.forget(less);
    assert_eq!(lookup(1).unwrap(), None);
    assert_eq!(lookup(2).unwrap().map(TermId::payload), Some(2));
}
