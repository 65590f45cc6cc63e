//! An evaluator that is ready to evaluate a query.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use spareval::{CancellationToken, QueryEvaluator};

use crate::sparql::exact::Terms;
use crate::sparql::meter::Meter;
use crate::sparql::once::{self, Context, Failure};
use crate::sparql::paths::Step;
use crate::sparql::{functions, plan};

/// An evaluator and the data for its dataset.
pub(in crate::sparql) struct Prepared {
    pub(in crate::sparql) evaluator: QueryEvaluator,
    /// The token that it checks whenever it reads data, and the watchdog that cancels it in time.
    pub(in crate::sparql) token: CancellationToken,
    pub(in crate::sparql) failure: Failure,
    pub(in crate::sparql) watchdog: Option<Watchdog>,
    pub(in crate::sparql) terms: Arc<Terms>,
    pub(in crate::sparql) steps: Arc<[Vec<Step>]>,
    pub(in crate::sparql) meter: Meter,
}

impl Prepared {
    /// Passes the plan to the evaluator.
    pub(in crate::sparql) fn set_plan(&mut self, plan: plan::Plan, context: &Context) {
        let mut evaluator = plan.lists.register(std::mem::take(&mut self.evaluator));
        if plan.calls_functions {
            evaluator = functions::for_plan(evaluator, &self.terms);
        }
        self.evaluator = once::register(plan.onces, evaluator, context);
    }
}

/// Cancels a token after a time, unless it is dropped before.
#[derive(Debug)]
pub(in crate::sparql) struct Watchdog {
    _stop: Sender<()>,
}

impl Watchdog {
    pub(super) fn new(token: CancellationToken, timeout: Duration) -> Self {
        let (stop, stopped) = mpsc::channel::<()>();
        thread::spawn(move || {
            if stopped.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout) {
                token.cancel();
            }
        });
        Self { _stop: stop }
    }
}
