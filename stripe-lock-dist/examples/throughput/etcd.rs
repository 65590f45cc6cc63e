//! The bare transactions of etcd.

use std::error::Error;
use std::time::{Duration, Instant};

use etcd_client::{
    Client, Compare, CompareOp, GetOptions, PutOptions, SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse,
};

use crate::Bare;

/// A client that sends the transactions of the engine itself, with keys of its own.
#[derive(Clone)]
pub(crate) struct Transactions {
    client: Client,
    lease: i64,
}

impl Transactions {
    pub(crate) async fn connect(address: &str) -> Result<Self, Box<dyn Error>> {
        let mut client = Client::connect([address], None).await?;
        let lease = client.lease_grant(3600, None).await?.id();
        Ok(Self { client, lease })
    }

    async fn transact(&mut self, txn: Txn) -> Vec<TxnOpResponse> {
        self.client.txn(txn).await.expect("the server answers").op_responses()
    }
}

impl Bare for Transactions {
    async fn cycle(mut self, ticket: u32, stripes: Vec<i32>) -> Duration {
        let queue = |stripe: &i32| format!("bare/queue/{stripe}/");
        let own = |stripe: &i32| format!("{}{:x}.{ticket}", queue(stripe), self.lease);
        let keys: Vec<_> = stripes.iter().map(own).collect();
        let absent = |key: String| Compare::create_revision(key, CompareOp::Equal, 0);
        let tombstone = format!("bare/tombstone/{:x}.{ticket}", self.lease);
        let last = GetOptions::new().with_prefix().with_sort(SortTarget::Create, SortOrder::Descend);
        let last = last.with_keys_only().with_limit(2);
        let put = Some(PutOptions::new().with_lease(self.lease));
        let enter = stripes.iter().zip(&keys).flat_map(|(stripe, key)| {
            [TxnOp::put(key.clone(), "", put.clone()), TxnOp::get(queue(stripe), Some(last.clone()))]
        });
        let enter = Txn::new()
            .when([absent(tombstone), absent(keys[0].clone())])
            .and_then(enter.collect::<Vec<_>>())
            .or_else([TxnOp::get(keys[0].clone(), Some(GetOptions::new().with_keys_only()))]);
        let leave = keys.iter().map(|key| TxnOp::delete(key.clone(), None));
        let leave = Txn::new().and_then(leave.collect::<Vec<_>>());

        let start = Instant::now();
        let answers = self.transact(enter).await;
        let time = start.elapsed();
        let is_first = |answer: &TxnOpResponse| match answer {
            TxnOpResponse::Get(queue) => queue.kvs().len() < 2,
            _ => true,
        };
        if !answers.iter().all(is_first) {
            // Another client holds a stripe.
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        self.transact(leave).await;
        time
    }
}
