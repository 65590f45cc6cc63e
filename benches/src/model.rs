//! A discrete-event simulation of writers on stripes, for larger machines and more writers than can be measured here.
//!
//! Each writer thinks, draws a key, waits its turn on the key's stripe in order of arrival, holds it over a section, and
//! starts over. Nothing else is modelled: taking a lock costs no time, and there are as many processors as writers. So
//! the model says how much parallelism the *collisions* leave, and the measurements say what the lock itself costs.
//! Its tests compare it with queueing theory, and `targets --only asleep` compares it with measurements.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};
use rand_distr::{Distribution, Exp1, LogNormal, Zipf};

use crate::spread::quantile;

/// How long something takes.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// Always the same.
    Constant(Duration),
    /// Exponentially distributed around a mean: memoryless.
    Exponential(Duration),
    /// Log-normal with a median and the standard deviation of its logarithm: a long tail, as disks have.
    LogNormal(Duration, f64),
}

impl Length {
    fn draw(self, rng: &mut SmallRng) -> f64 {
        match self {
            Self::Constant(length) => length.as_secs_f64(),
            Self::Exponential(mean) => {
                let unit: f64 = Exp1.sample(rng);
                unit * mean.as_secs_f64()
            }
            Self::LogNormal(median, sigma) => {
                let factor = LogNormal::new(0.0, sigma).expect("a finite deviation");
                median.as_secs_f64() * factor.sample(rng)
            }
        }
    }
}

/// Which keys writers draw.
#[derive(Clone, Copy, Debug)]
pub enum Popularity {
    /// Every draw is a new key: collisions come from stripes alone.
    Distinct,
    /// Keys of a population by Zipf's law, with its exponent.
    Zipf(usize, f64),
}

/// The locks of the model.
#[derive(Clone, Copy, Debug)]
pub enum Locks {
    /// This many stripes, with the keys spread over them at random.
    Striped(usize),
    /// One lock for each key.
    Exact,
}

/// A system of writers and locks.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// Writers, each of which is thinking, waiting or holding.
    pub writers: usize,
    /// What they lock.
    pub locks: Locks,
    /// The keys they draw.
    pub keys: Popularity,
    /// How long a writer holds its lock.
    pub section: Length,
    /// How long a writer thinks between two sections.
    pub think: Length,
    /// For how much longer a lock is held if it is handed to a writer that waited, as a message takes time to arrive.
    pub hand_over: Duration,
}

impl Model {
    /// Writers that do nothing but hold the lock of a fresh key: the sleep workload.
    pub fn sleeping(writers: usize, stripes: usize) -> Self {
        Self {
            writers,
            locks: Locks::Striped(stripes),
            keys: Popularity::Distinct,
            section: Length::Constant(Duration::from_millis(1)),
            think: Length::Constant(Duration::ZERO),
            hand_over: Duration::ZERO,
        }
    }

    /// The mean-field form of the rate, for constant times and distinct keys: sections per second.
    ///
    /// Each stripe is a queue with constant service time `t` and utilisation `u`. By Pollaczek and Khinchine, the stripe
    /// has `u + u^2 / (2 (1 - u))` writers, and `u z / t` of its writers think. Their sum is the number of writers for
    /// each stripe, which gives `u`. A section lasts longer by the time of a hand-over if the writer waited, which is so
    /// with probability `u`. So `t` is found by iteration.
    pub fn mean_field_rate(writers: f64, stripes: f64, section: f64, think: f64, hand_over: f64) -> f64 {
        let writers = writers / stripes;
        let (mut time, mut used) = (section, 0.0);
        for _ in 0..50 {
            let thinking = think / time;
            let half = 1.0 + thinking + writers;
            let twice = 1.0 + 2.0 * thinking;
            used = (half - (half * half - 2.0 * writers * twice).sqrt()) / twice;
            time = section + used * hand_over;
        }
        stripes * used / time
    }

    /// Simulates until `sections` sections have ended after a warm-up. The same seed gives the same outcome.
    ///
    /// # Panics
    ///
    /// Panics without writers, stripes, keys or sections, and for a Zipf exponent that is negative.
    pub fn run(&self, sections: usize, seed: u64) -> Outcome {
        assert!(self.writers > 0 && sections > 0, "nothing to simulate");
        Simulation::new(self, seed).run(sections)
    }
}

/// What a simulated system did.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// How many writers held a lock, averaged over time.
    pub parallelism: f64,
    /// Sections ended per second.
    pub rate: f64,
    /// The share of sections whose writer had to wait.
    pub blocked: f64,
    /// The median wait, in seconds.
    pub wait_median: f64,
    /// The 99th percentile of the wait, in seconds.
    pub wait_p99: f64,
}

/// A moment at which a writer ends thinking or ends its section. Ordered by time, then writer, so that runs repeat.
struct Event {
    at: f64,
    writer: usize,
    /// The lock whose section ends, or `None` if the writer ends thinking.
    ends: Option<usize>,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.total_cmp(&other.at).then(self.writer.cmp(&other.writer))
    }
}

struct Simulation<'a> {
    model: &'a Model,
    rng: SmallRng,
    ranks: Option<Zipf<f64>>,
    /// A random offset of the hash that spreads keys over stripes.
    salt: u64,
    locks: Vec<Lock>,
    events: BinaryHeap<Reverse<Event>>,
    /// After the warm-up: the time for which writers held locks, and each wait.
    counting: Option<(f64, Vec<f64>)>,
}

#[derive(Clone, Default)]
struct Lock {
    held: bool,
    /// The writers that wait, and since when.
    queue: VecDeque<(usize, f64)>,
}

impl<'a> Simulation<'a> {
    fn new(model: &'a Model, seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let ranks = match model.keys {
            Popularity::Distinct => None,
            Popularity::Zipf(population, exponent) => {
                Some(Zipf::new(population as f64, exponent).expect("a population, and an exponent from zero"))
            }
        };
        let locks = match (model.locks, model.keys) {
            (Locks::Striped(stripes), _) => stripes,
            // Writers that draw distinct keys never share one, so one lock for each writer is enough.
            (Locks::Exact, Popularity::Distinct) => model.writers,
            (Locks::Exact, Popularity::Zipf(population, _)) => population,
        };
        assert!(locks > 0, "nothing to lock");
        let salt = rng.next_u64();
        let mut simulation = Self {
            model,
            rng,
            ranks,
            salt,
            locks: vec![Lock::default(); locks],
            events: BinaryHeap::with_capacity(model.writers),
            counting: None,
        };
        for writer in 0..model.writers {
            // The first arrivals are scattered over the time of one section, because real writers are not in step.
            let at =
                simulation.model.section.draw(&mut simulation.rng) * simulation.rng.random_range(0.0..1.0);
            simulation.events.push(Reverse(Event { at, writer, ends: None }));
        }
        simulation
    }

    fn run(mut self, sections: usize) -> Outcome {
        let warm_up = (10 * self.model.writers).max(sections / 10);
        let mut ended = 0;
        let mut since = 0.0;
        loop {
            let Reverse(Event { at, writer, ends }) = self.events.pop().expect("writers never stop");
            match ends {
                None => self.arrive(writer, at),
                Some(lock) => {
                    self.release(lock, at);
                    let thought = at + self.model.think.draw(&mut self.rng);
                    self.events.push(Reverse(Event { at: thought, writer, ends: None }));
                    ended += 1;
                    if ended == warm_up {
                        since = at;
                        self.counting = Some((0.0, Vec::with_capacity(sections)));
                    }
                    if ended == warm_up + sections {
                        return self.outcome(sections, at - since);
                    }
                }
            }
        }
    }

    fn arrive(&mut self, writer: usize, now: f64) {
        let index = self.draw_lock(writer);
        if self.locks[index].held {
            self.locks[index].queue.push_back((writer, now));
        } else {
            self.locks[index].held = true;
            self.hold(index, writer, now, 0.0, 0.0);
        }
    }

    fn release(&mut self, index: usize, now: f64) {
        let hand_over = self.model.hand_over.as_secs_f64();
        match self.locks[index].queue.pop_front() {
            Some((next, since)) => self.hold(index, next, now, now - since, hand_over),
            None => self.locks[index].held = false,
        }
    }

    fn hold(&mut self, index: usize, writer: usize, now: f64, waited: f64, hand_over: f64) {
        let length = hand_over + self.model.section.draw(&mut self.rng);
        if let Some((held, waits)) = &mut self.counting {
            *held += length;
            waits.push(waited);
        }
        self.events.push(Reverse(Event { at: now + length, writer, ends: Some(index) }));
    }

    fn draw_lock(&mut self, writer: usize) -> usize {
        match (self.model.locks, &self.ranks) {
            (Locks::Exact, None) => writer,
            (Locks::Striped(stripes), None) => self.rng.random_range(0..stripes),
            (Locks::Exact, Some(ranks)) => ranks.sample(&mut self.rng) as usize - 1,
            (Locks::Striped(stripes), Some(ranks)) => {
                let key = ranks.sample(&mut self.rng) as u64;
                // SplitMix64's finaliser (Steele, Lea, Flood 2014), as an example of a good hash.
                let mut hash = key.wrapping_add(self.salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                ((hash ^ (hash >> 31)) % stripes as u64) as usize
            }
        }
    }

    fn outcome(self, sections: usize, length: f64) -> Outcome {
        let (held, mut waits) = self.counting.expect("counting began before the end");
        let blocked = waits.iter().filter(|wait| **wait > 0.0).count() as f64 / waits.len() as f64;
        waits.sort_by(f64::total_cmp);
        Outcome {
            parallelism: held / length,
            rate: sections as f64 / length,
            blocked,
            wait_median: quantile(&waits, 0.5),
            wait_p99: quantile(&waits, 0.99),
        }
    }
}

#[cfg(test)]
mod tests {
    use stripe_lock::recommended_stripes;

    use super::*;

    /// Sections of one second: the rate is the parallelism.
    fn mean_field(stripes: f64, writers: f64) -> f64 {
        Model::mean_field_rate(writers, stripes, 1.0, 0.0, 0.0)
    }

    #[test]
    fn one_stripe_is_held_by_one_writer_all_the_time() {
        let outcome = Model::sleeping(16, 1).run(10_000, 1);
        assert!((outcome.parallelism - 1.0).abs() < 0.001, "{outcome:?}");
        assert!(outcome.blocked > 0.99, "{outcome:?}");
    }

    #[test]
    fn exact_locks_on_distinct_keys_never_wait() {
        let outcome = Model { locks: Locks::Exact, ..Model::sleeping(16, 1) }.run(10_000, 1);
        assert!((outcome.parallelism - 16.0).abs() < 0.05, "{outcome:?}");
        assert!(outcome.blocked < 1e-9, "{outcome:?}");
    }

    #[test]
    fn constant_sections_follow_the_mean_field_form() {
        for (writers, stripes) in [(16, 8), (16, 16), (16, 64), (16, 256), (1000, 1024), (1000, 4096)] {
            let outcome = Model::sleeping(writers, stripes).run(100_000, 1);
            let form = mean_field(stripes as f64, writers as f64);
            let off = (outcome.parallelism / form - 1.0).abs();
            assert!(
                off < 0.05,
                "{writers} writers, {stripes} stripes: {} against {form}",
                outcome.parallelism
            );
        }
    }

    /// With exponential sections and no thinking, the stripes are a closed network of S equal queues, each equally
    /// likely. In it, all distributions of n customers are equally likely, so a queue is busy with probability
    /// `n / (n + S - 1)`.
    #[test]
    fn exponential_sections_follow_the_product_form() {
        for (writers, stripes) in [(16_u32, 8_u32), (16, 64), (100, 100)] {
            let model = Model {
                section: Length::Exponential(Duration::from_millis(1)),
                ..Model::sleeping(writers as usize, stripes as usize)
            };
            let outcome = model.run(200_000, 1);
            let (n, s) = (f64::from(writers), f64::from(stripes));
            let form = s * n / (n + s - 1.0);
            let off = (outcome.parallelism / form - 1.0).abs();
            assert!(
                off < 0.02,
                "{writers} writers, {stripes} stripes: {} against {form}",
                outcome.parallelism
            );
        }
    }

    /// Checks the figures that the documentation of `recommended_stripes` gives.
    #[test]
    fn the_recommended_stripes_keep_their_promise() {
        for writers in [2, 16, 256, 1000, 10_000] {
            let outcome = Model::sleeping(writers, recommended_stripes(writers)).run(200_000, 1);
            assert!(outcome.blocked < 0.125, "{writers} writers: {outcome:?}");
            let at_work = outcome.parallelism / writers as f64;
            assert!((0.93..0.97).contains(&at_work), "{writers} writers: {outcome:?}");
        }
    }

    #[test]
    fn a_popular_key_bounds_parallelism_for_any_number_of_stripes() {
        let population = 1000;
        let top = crate::keys::zipf_shares(population, 0.99)[0];
        let hot = Model { keys: Popularity::Zipf(population, 0.99), ..Model::sleeping(1000, 65_536) };
        for model in [hot, Model { locks: Locks::Exact, ..hot }] {
            let parallelism = model.run(100_000, 1).parallelism;
            // One writer at a time holds the lock of the most popular key, which the share `top` of all sections needs.
            assert!(parallelism < 1.05 / top, "{parallelism} with a share of {top}");
        }
    }

    #[test]
    fn a_seed_repeats_a_run() {
        let model =
            Model { section: Length::LogNormal(Duration::from_millis(1), 0.5), ..Model::sleeping(10, 4) };
        let [a, b, c] = [1, 1, 2].map(|seed| model.run(5_000, seed).parallelism);
        assert!((a - b).abs() < f64::EPSILON && (a - c).abs() > f64::EPSILON);
    }
}
