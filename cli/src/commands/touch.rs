//! `bosc touch`: a new link.

use app::Link;
use hyperdrive::Hyperdrive;
use serde_json::json;

use crate::args::Global;
use crate::drives::open_store;
use crate::output::Output;

pub(crate) async fn run(global: &Global, output: &Output) -> anyhow::Result<()> {
    // No writer lock: a new key pair is in nobody's way.
    let store = open_store(global)?;
    let name = hex::encode(rand::random::<[u8; 16]>());
    let drive = Hyperdrive::create_with(&store, store.create_key_pair(&name)?).await?;
    let link = Link::plain(drive.key()).to_string();
    store.close()?;
    output.result(&link);
    output.done(json!({ "key": drive.key().to_string(), "link": link }));
    Ok(())
}
