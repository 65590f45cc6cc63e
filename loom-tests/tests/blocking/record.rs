//! The record of held stripes, whose fast path takes no lock.

use loom::thread::{self, JoinHandle};
use loom_tests::explore;
use stripe_lock::blocking::model::{Noted, end_of_thread, holder_of, may_wait_for};

fn spawn<O: 'static>(body: impl FnOnce() -> O + 'static) -> JoinHandle<O> {
    thread::spawn(|| {
        let output = body();
        end_of_thread();
        output
    })
}

fn nothing_is_held() -> bool {
    may_wait_for(0)
}

#[test]
fn a_guard_ends_elsewhere_while_others_are_noted() {
    explore("a guard ends on another thread", None, || {
        let first = Noted::new(1);
        let other = spawn(|| drop(first));
        let second = Noted::new(3);
        assert!(!may_wait_for(2), "the second guard is noted");
        drop(second);
        let third = Noted::new(3);
        other.join().unwrap();
        assert!(!may_wait_for(2), "the third guard is noted");
        drop(third);
        assert!(nothing_is_held(), "a guard stays in the record");
        end_of_thread();
    });
}

#[test]
fn a_guard_changes_elsewhere_while_another_is_noted() {
    explore("a guard changes on another thread", None, || {
        let first = Noted::new(1);
        let other = spawn(|| first.shared());
        // Loom finds no execution in which the other thread goes first without this.
        thread::yield_now();
        let second = Noted::new(3);
        assert!(!may_wait_for(2), "the second guard is noted");
        drop(other.join().unwrap());
        assert!(!may_wait_for(2), "the second guard is noted");
        drop(second);
        assert!(nothing_is_held(), "a guard stays in the record");
        end_of_thread();
    });
}

#[test]
fn a_guard_changes_elsewhere_while_another_ends() {
    explore("a guard changes on another thread while another ends", None, || {
        let (first, second) = (Noted::new(1), Noted::new(3));
        let other = spawn(|| first.shared());
        drop(second);
        drop(other.join().unwrap());
        assert!(nothing_is_held(), "a guard stays in the record");
        end_of_thread();
    });
}

#[test]
fn a_list_is_used_again_while_a_guard_of_it_ends() {
    explore("a list is used again", None, || {
        let first = spawn(|| Noted::new(1)).join().unwrap();
        let other = spawn(|| {
            let second = Noted::new(3);
            assert!(!may_wait_for(2), "the second guard is noted");
            drop(second);
            assert!(nothing_is_held(), "a guard stays in the record");
        });
        drop(first);
        other.join().unwrap();
    });
}

#[test]
fn a_search_finds_whole_guards() {
    explore("a search beside guards that come and go", Some(3), || {
        let first = Noted::new(1);
        let line = holder_of(1).expect("it is held").line();
        let other = spawn(move || {
            if let Some(place) = holder_of(1) {
                assert_eq!(place.line(), line, "the place of another guard");
            }
        });
        drop(first);
        drop(Noted::new(3));
        other.join().unwrap();
        end_of_thread();
    });
}
