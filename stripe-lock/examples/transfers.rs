//! Bank transfers by many threads: two accounts are locked together, in any order, and a report sums all accounts
//! meanwhile.
//!
//! `cargo run --release -p stripe-lock --example transfers`

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::thread;

use stripe_lock::{DefaultHasher, StripedMutex};

const ACCOUNTS: u64 = 1000;
const OPENING: i64 = 100;
const TELLERS: u64 = 8;
const TRANSFERS: u64 = 50_000;

/// Each stripe has the accounts whose keys belong to it.
type Bank = StripedMutex<u64, HashMap<u64, i64>>;

/// Moves `amount` if the account has it, and returns whether it did.
fn transfer(bank: &Bank, from: u64, to: u64, amount: i64) -> bool {
    let mut both = bank.lock_many(&[from, to]);
    let payer = both.get_mut(&from).and_then(|accounts| accounts.get_mut(&from)).expect("the account exists");
    if *payer < amount {
        return false;
    }
    *payer -= amount;
    *both.get_mut(&to).and_then(|accounts| accounts.get_mut(&to)).expect("the account exists") += amount;
    true
}

/// All money in the bank, at one moment.
fn balance(bank: &Bank) -> i64 {
    bank.lock_all().iter().flat_map(|(_stripe, accounts)| accounts.values()).sum()
}

fn main() {
    let bank = Bank::new(256);
    for account in 0..ACCOUNTS {
        bank.lock(&account).insert(account, OPENING);
    }
    let total = ACCOUNTS.cast_signed() * OPENING;
    let moved: u64 = thread::scope(|scope| {
        let tellers: Vec<_> = (0..TELLERS)
            .map(|teller| {
                let (bank, dice) = (&bank, DefaultHasher::default());
                scope.spawn(move || {
                    let roll = |n: u64, sides: u64| dice.hash_one((teller, n)) % sides;
                    let transfers =
                        (0..TRANSFERS).map(|n| (roll(3 * n, ACCOUNTS), roll(3 * n + 1, ACCOUNTS), n));
                    transfers
                        .filter(|&(from, to, n)| transfer(bank, from, to, roll(3 * n + 2, 50).cast_signed()))
                        .count() as u64
                })
            })
            .collect();
        for _ in 0..100 {
            assert_eq!(balance(&bank), total, "no audit ever sees money on its way");
        }
        tellers.into_iter().map(|teller| teller.join().expect("no teller panics")).sum()
    });
    assert_eq!(balance(&bank), total);
    println!("{moved} of {} transfers made, {total} in the bank as before", TELLERS * TRANSFERS);
}
