//! Checks the tables of `docs/scaling.md` with the simulation and the mean-field form.

use std::fs;
use std::path::Path;
use std::time::Duration;

use benches::chart::Table;
use benches::model::{Length, Model};

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scaling.md");
    fs::read_to_string(path).expect("the document is there")
}

/// Locks that are taken and released at once, over a network with this round-trip time. Times are in seconds.
struct Setting {
    processes: u32,
    stripes: u32,
    round_trip: f64,
    hand_over: f64,
}

impl Setting {
    /// A stripe is occupied from when the server grants it to when the release arrives: one round trip. The process is
    /// without it for another one.
    fn form(&self) -> f64 {
        let Self { processes, stripes, round_trip, hand_over } = *self;
        let (processes, stripes) = (f64::from(processes), f64::from(stripes));
        Model::mean_field_rate(processes, stripes, round_trip, round_trip, hand_over)
    }

    fn simulated(&self) -> f64 {
        let round_trip = Duration::from_secs_f64(self.round_trip);
        let model = Model {
            section: Length::Constant(round_trip),
            think: Length::Constant(round_trip),
            hand_over: Duration::from_secs_f64(self.hand_over),
            ..Model::sleeping(self.processes as usize, self.stripes as usize)
        };
        model.run(20_000, 1).rate
    }
}

fn near(a: f64, b: f64, within: f64) -> bool {
    (a / b - 1.0).abs() <= within
}

/// The processes and the stripes of the rows.
const ROWS: [(u32, u32); 7] = [(1, 4096), (4, 4096), (16, 4096), (16, 64), (16, 16), (16, 4), (16, 1)];

/// Each row: processes, stripes, measured, closed form, simulated. The round-trip time is that of the first row.
fn check(heading: &str, hand_over: impl Fn(f64) -> f64) {
    let table = Table::under(&document(), heading).expect("the table is there");
    let first = table.rows[0].1[1].expect("it is a number");
    let round_trip = 1.0 / (2.0 * first);
    assert_eq!(table.rows.len(), ROWS.len());
    for (row, (processes, stripes)) in table.rows.iter().zip(ROWS) {
        let [Some(of), Some(measured), Some(form), Some(simulated)] = row.1[..] else {
            panic!("{row:?} has five numbers")
        };
        assert!(row.0 == processes.to_string() && near(of, stripes.into(), 0.0), "{row:?}");
        let setting = Setting { processes, stripes, round_trip, hand_over: hand_over(round_trip) };
        assert!(near(setting.form(), form, 0.02), "{row:?}: the form is {:.0}", setting.form());
        assert!(near(setting.simulated(), simulated, 0.02), "{row:?}: simulated {:.0}", setting.simulated());
        assert!(near(form, measured, 0.15) && near(simulated, measured, 0.15), "{row:?}");
    }
}

#[test]
fn the_forms_and_the_simulation_are_near_what_was_measured() {
    check("### PostgreSQL", |_| 0.0017);
    check("### etcd", |round_trip| 1.25 * round_trip);
}

#[test]
fn a_wrong_form_is_found() {
    let setting = Setting { processes: 16, stripes: 4, round_trip: 0.004, hand_over: 0.004 };
    let without = Setting { hand_over: 0.0, ..setting };
    assert!(!near(without.form(), setting.form(), 0.15));
    assert!(near(setting.simulated(), setting.form(), 0.1), "{} {}", setting.simulated(), setting.form());
}
