//! `triples serve`.

use crate::commands::existing_with;
use crate::shipping;
use triple_store::Result;
use triple_store::server::Server;
use triple_store::server::command::{Arguments, block_on, run as run_server};

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.ship.is_some() || arguments.follow.is_some() {
        return shipping::run();
    }
    let options = arguments.server_options()?;
    let store = if arguments.read_only {
        existing_with(&arguments.store, arguments.store_options())
    } else {
        arguments.store_options().open(&arguments.store)
    }?;
    block_on(async { run_server(Server::bind(store, arguments.bind, options).await?).await })
}
