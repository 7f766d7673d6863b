//! `bosc touch`: a new link.

use serde_json::json;

use crate::args::Global;
use crate::output::Output;
use crate::store;

pub(crate) async fn run(global: &Global, output: &Output) -> anyhow::Result<()> {
    let store = store::open(global)?;
    let link = release::touch(&store).await?;
    store.close()?;
    output.result(&link.to_string());
    output.done(json!({ "key": link.key.to_string(), "link": link.to_string() }));
    Ok(())
}
