//! `bosc dht`: a small DHT on this machine.

use std::io::Write;

use anyhow::Context;
use serde_json::json;

use crate::args;
use crate::output::Output;

pub(crate) async fn run(args: &args::Dht, output: &Output) -> anyhow::Result<()> {
    let network = dht::local::start(args.host, args.port)
        .await
        .with_context(|| format!("cannot start a DHT on {}:{}", args.host, args.port))?;
    let address = network.bootstrap().to_string();
    output.result(&address);
    output.tag(
        "listening",
        json!({ "bootstrap": address, "nodes": network.nodes().len() }),
    );
    output.say(&format!("use it with --bootstrap {address}; Ctrl-C ends it"));
    std::io::stdout().flush()?;
    crate::interrupt::stop_signal().await;
    network.nodes().iter().for_each(|node| node.destroy());
    output.done(json!({}));
    Ok(())
}
