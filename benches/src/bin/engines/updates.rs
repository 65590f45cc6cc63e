//! Updates that wait while they hold their stripe, the case for which the engine has stripes.

use std::{thread, time::Duration};

use benches::{
    contenders::stores::Failure,
    harness::{Case, Comparison},
    keys::Distinct,
    workloads::closed_loop,
};
use vde_store::{Vde, VdeOptions};

use crate::{Options, print};

const WRITERS: usize = 16;
const COMPUTING: Duration = Duration::from_micros(200);

/// A sleep takes the place of a computation, because two cores cannot compute for sixteen writers.
fn case(label: &str, store: Vde) -> Case<'_> {
    Case::new(label, move |operations| {
        closed_loop(WRITERS, operations, Distinct::of_writer, |keys| {
            let key = keys.next().expect("keys never end").to_be_bytes();
            let updated = store.update(key, |_| {
                thread::sleep(COMPUTING);
                Some(vec![7; 100])
            });
            updated.expect("the store takes every update");
        })
    })
}

pub(crate) fn measure(options: &Options) -> Result<(), Failure> {
    let dir = tempfile::tempdir_in(&options.measure.dir)?;
    let store =
        |stripes: usize| VdeOptions::new().stripes(stripes).create(dir.path().join(stripes.to_string()));
    let mut cases = [case("1 stripe", store(1)?), case("64 stripes", store(64)?)];
    let plan = options.measure.plan();
    let result = Comparison::measure(&mut cases, plan, |_| ());
    let base = result.of("1 stripe");
    print(
        "durable updates that wait 200 us under the stripe, 16 writers",
        ["", "updates/s", "x 1 stripe"],
        result.samples().iter().map(|samples| {
            [
                samples.label.clone(),
                format!("{:.0}", samples.rate().median),
                format!("{:.2}", base.times_slower_than(samples).median),
            ]
        }),
    );
    Ok(())
}
