//! A job runner with a queue for each tenant: jobs of one tenant run one after the other, in the order in which they
//! reach the lock. Jobs of different tenants run in parallel. A job may need two tenants.
//!
//! `cargo run --release -p stripe-lock --example tenants`

use std::sync::Arc;
use std::time::{Duration, Instant};

use stripe_lock::AsyncStripedMutex;

/// What each job did, in order. Several tenants share a stripe, so an entry names its tenant.
type Journal = AsyncStripedMutex<String, Vec<(String, u32)>>;

async fn job(journal: Arc<Journal>, tenant: String, number: u32) {
    let mut entries = journal.lock(&tenant).await;
    // The lock is held over an await: that is what async locks are for.
    tokio::time::sleep(Duration::from_millis(2)).await;
    entries.push((tenant, number));
}

async fn merge(journal: Arc<Journal>, from: String, into: String) {
    let mut both = journal.lock_many([&from, &into]).await;
    tokio::time::sleep(Duration::from_millis(2)).await;
    both.get_mut(&into).expect("it is held").push((into, u32::MAX));
}

#[tokio::main]
async fn main() {
    const TENANTS: u32 = 20;
    const JOBS: u32 = 25;
    let journal = Arc::new(Journal::new(1024).strict_fifo());
    let begun = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for number in 0..JOBS {
        for tenant in 0..TENANTS {
            running.spawn(job(journal.clone(), format!("tenant {tenant}"), number));
        }
    }
    for tenant in 1..TENANTS {
        running.spawn(merge(journal.clone(), "tenant 0".to_owned(), format!("tenant {tenant}")));
    }
    running.join_all().await;
    let one_by_one = Duration::from_millis(2) * (TENANTS * JOBS + TENANTS - 1);
    println!(
        "{} jobs in {:.0?}; one after the other they take {one_by_one:.0?}",
        TENANTS * JOBS,
        begun.elapsed()
    );

    let journal = Arc::into_inner(journal).expect("all tasks have ended").into_inner();
    for tenant in 0..TENANTS {
        let name = format!("tenant {tenant}");
        let done = journal.iter().flatten().filter(|(whose, number)| *whose == name && *number != u32::MAX);
        assert_eq!(done.count(), JOBS as usize, "no job is lost");
    }
}
