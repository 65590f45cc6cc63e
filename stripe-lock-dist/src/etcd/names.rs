//! The keys that a namespace uses in etcd.

/// The names of the keys of one namespace. Each begins with the same prefix.
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(space: &str) -> Self {
        // Without a slash in the name, no namespace has keys under the prefix of another one.
        let name = space.replace('%', "%25").replace('/', "%2F");
        Self { prefix: format!("stripe_lock_1/{name}") }
    }

    /// What all clients of the namespace agree on.
    pub(super) fn space(&self) -> String {
        format!("{}/space", self.prefix)
    }

    /// The prefix of all tickets in the queue of a stripe.
    pub(super) fn queue(&self, stripe: i32) -> String {
        format!("{}/queue/{stripe}/", self.prefix)
    }

    /// A ticket in the queue of a stripe. No two tickets ever have the same name.
    pub(super) fn ticket(&self, stripe: i32, lease: i64, ticket: i64) -> String {
        format!("{}{lease:x}.{ticket}", self.queue(stripe))
    }

    /// The sign that a ticket was given back, for calls that arrive late.
    pub(super) fn tombstone(&self, lease: i64, ticket: i64) -> String {
        format!("{}/tombstone/{lease:x}.{ticket}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn no_key_is_in_the_queue_of_another_stripe_or_namespace() {
        let names = Names::new("a");
        let ticket = names.ticket(5, 255, 7);
        assert_eq!(ticket, "stripe_lock_1/a/queue/5/ff.7");
        assert!(
            ticket.starts_with(&names.queue(5)) && !names.ticket(55, 255, 7).starts_with(&names.queue(5))
        );
        let other = Names::new("a/queue/5");
        assert!(!other.space().starts_with(&names.queue(5)));
        assert_ne!(Names::new("a%2Fb").space(), Names::new("a/b").space());
    }
}
