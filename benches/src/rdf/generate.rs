//! A generated shop, in the shape of the Berlin SPARQL Benchmark.
//!
//! The data follows the model of Bizer and Schultz, "The Berlin SPARQL Benchmark" (2009):
//!
//! | subject | for each product | its quads |
//! |---|---|---|
//! | product | 1 | type, label, comment, producer, 5 features, 3 text and 3 numeric properties, date |
//! | offer | 3 | type, product, vendor, price, valid from and to, delivery days, web page |
//! | review | 2 | type, product, reviewer, title, text with language, 2 ratings, date |
//! | producer, vendor, reviewer | 1/40, 1/50, 1/10 | type, label, country, home page |
//!
//! Products and producers lie in the default graph, the offers of a vendor in the graph of that vendor, reviews in one
//! graph of their site. Features and reviewers are drawn by Zipf's law, so some are popular. There are about 56 quads
//! for each product. The same seed gives the same text, byte for byte.

use std::fmt::Write;

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use rand_distr::{Distribution, Zipf};

const SHOP: &str = "http://shop.example/";
const VOCABULARY: &str = "http://shop.example/vocabulary#";
const TYPE: &str = "<http://www.w3.org/1999/02/22-rdf-syntax-ns#type>";
const LABEL: &str = "<http://www.w3.org/2000/01/rdf-schema#label>";
const COMMENT: &str = "<http://www.w3.org/2000/01/rdf-schema#comment>";
const XSD: &str = "http://www.w3.org/2001/XMLSchema#";

pub(crate) const WORDS: [&str; 24] = [
    "amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "harbour", "island", "juniper", "kettle",
    "lantern", "meadow", "north", "orchard", "prairie", "quartz", "river", "summit", "timber", "umber",
    "valley", "willow", "zephyr",
];
pub(crate) const COUNTRIES: [&str; 8] = ["AT", "BR", "DE", "FR", "IN", "JP", "KE", "US"];

/// The shop of `products` products, as N-Quads.
///
/// # Panics
///
/// Panics for no products.
pub fn shop(products: usize, seed: u64) -> String {
    let mut text = String::new();
    generate(products, seed, true, &mut |piece| text.push_str(piece));
    text
}

/// The same shop with everything in the default graph, as the benchmark's own data: N-Triples, piece by piece, so that it need
/// not fit into memory. A piece ends at a line end.
///
/// # Panics
///
/// Panics for no products.
pub fn shop_without_graphs(products: usize, seed: u64, piece: &mut impl FnMut(&str)) {
    generate(products, seed, false, piece);
}

/// The bytes of a piece, about.
const PIECE: usize = 1 << 20;

fn generate(products: usize, seed: u64, graphs: bool, piece: &mut impl FnMut(&str)) {
    assert!(products > 0, "a shop without products is empty");
    let mut shop = Shop { text: String::new(), rng: SmallRng::seed_from_u64(seed), graphs };
    let (producers, vendors, reviewers) =
        (products.div_ceil(40), products.div_ceil(50), products.div_ceil(10));
    for (kind, count) in [("Producer", producers), ("Vendor", vendors), ("Reviewer", reviewers)] {
        for number in 0..count {
            shop.party(kind, number);
        }
    }
    let features = Zipf::new(200.0, 0.99).expect("constants that Zipf's law takes");
    let reviewing = Zipf::new(reviewers as f64, 0.99).expect("there are reviewers");
    for product in 0..products {
        shop.product(product, producers, features);
        for offer in 0..3 {
            shop.offer(3 * product + offer, product, vendors);
        }
        for review in 0..2 {
            shop.review(2 * product + review, product, reviewing);
        }
        if shop.text.len() >= PIECE {
            piece(&shop.text);
            shop.text.clear();
        }
    }
    piece(&shop.text);
}

struct Shop {
    text: String,
    rng: SmallRng,
    /// Whether the graphs are named, or left out.
    graphs: bool,
}

/// The quads of one subject, in one graph.
struct Subject<'a> {
    text: &'a mut String,
    name: String,
    graph: String,
}

impl Subject<'_> {
    fn add(&mut self, predicate: &str, object: &str) -> &mut Self {
        writeln!(self.text, "{} {predicate} {object}{} .", self.name, self.graph)
            .expect("strings take all writes");
        self
    }
}

fn node(kind: &str, number: usize) -> String {
    format!("<{SHOP}{kind}/{number}>")
}

fn term(name: &str) -> String {
    format!("<{VOCABULARY}{name}>")
}

fn typed(value: impl std::fmt::Display, datatype: &str) -> String {
    format!("\"{value}\"^^<{XSD}{datatype}>")
}

impl Shop {
    fn subject(&mut self, kind: &str, number: usize, graph: Option<String>) -> Subject<'_> {
        let graph = graph.filter(|_| self.graphs).map_or_else(String::new, |graph| format!(" {graph}"));
        let mut subject = Subject { text: &mut self.text, name: node(kind, number), graph };
        subject.add(TYPE, &term(kind));
        subject
    }

    fn words(&mut self, count: usize) -> String {
        let words: Vec<_> = (0..count).map(|_| WORDS[self.rng.random_range(0..WORDS.len())]).collect();
        words.join(" ")
    }

    fn date(&mut self) -> String {
        let (year, month, day) =
            (self.rng.random_range(2005..2009), self.rng.random_range(1..13), self.rng.random_range(1..29));
        typed(format!("{year}-{month:02}-{day:02}"), "date")
    }

    fn party(&mut self, kind: &str, number: usize) {
        let label = self.words(2);
        let country = COUNTRIES[self.rng.random_range(0..COUNTRIES.len())];
        self.subject(kind, number, None)
            .add(LABEL, &format!("\"{label}\""))
            .add(&term("country"), &format!("\"{country}\""))
            .add(&term("homePage"), &format!("<http://{}-{number}.example/>", kind.to_lowercase()));
    }

    fn product(&mut self, number: usize, producers: usize, features: Zipf<f64>) {
        let (label, comment, date) = (self.words(3), self.words(24), self.date());
        let producer = node("Producer", self.rng.random_range(0..producers));
        let mut drawn: Vec<_> = (0..5).map(|_| features.sample(&mut self.rng) as usize).collect();
        drawn.sort_unstable();
        drawn.dedup();
        let texts: Vec<_> = (0..3).map(|_| self.words(8)).collect();
        let numbers: Vec<u32> = (0..3).map(|_| self.rng.random_range(1..2000)).collect();
        let mut product = self.subject("Product", number, None);
        product
            .add(LABEL, &format!("\"{label}\""))
            .add(COMMENT, &format!("\"{comment}\""))
            .add(&term("producer"), &producer)
            .add(&term("published"), &date);
        for feature in drawn {
            product.add(&term("feature"), &node("Feature", feature));
        }
        for (index, text) in texts.iter().enumerate() {
            product.add(&term(&format!("text{index}")), &format!("\"{text}\""));
        }
        for (index, number) in numbers.iter().enumerate() {
            product.add(&term(&format!("number{index}")), &typed(number, "integer"));
        }
    }

    fn offer(&mut self, number: usize, product: usize, vendors: usize) {
        let vendor = node("Vendor", self.rng.random_range(0..vendors));
        let price = format!("{}.{:02}", self.rng.random_range(5..10_000), self.rng.random_range(0..100));
        let days: u32 = self.rng.random_range(1..15);
        let (from, to) = (self.date(), self.date());
        self.subject("Offer", number, Some(vendor.clone()))
            .add(&term("product"), &node("Product", product))
            .add(&term("vendor"), &vendor)
            .add(&term("price"), &typed(price, "decimal"))
            .add(&term("validFrom"), &from)
            .add(&term("validTo"), &to)
            .add(&term("deliveryDays"), &typed(days, "integer"))
            .add(&term("webPage"), &format!("<{SHOP}Offer/{number}/page>"));
    }

    fn review(&mut self, number: usize, product: usize, reviewing: Zipf<f64>) {
        let reviewer = node("Reviewer", reviewing.sample(&mut self.rng) as usize - 1);
        let (title, text, date) = (self.words(4), self.words(40), self.date());
        let ratings: [u32; 2] = [self.rng.random_range(1..11), self.rng.random_range(1..11)];
        self.subject("Review", number, Some(format!("<{SHOP}reviews>")))
            .add(&term("reviewFor"), &node("Product", product))
            .add(&term("reviewer"), &reviewer)
            .add(&term("title"), &format!("\"{title}\"@en"))
            .add(&term("text"), &format!("\"{text}\"@en"))
            .add(&term("rating1"), &typed(ratings[0], "integer"))
            .add(&term("rating2"), &typed(ratings[1], "integer"))
            .add(&term("date"), &date);
    }
}
