//! `bosc touch`: a new link.

use serde_json::json;

use crate::args::{self, Global};
use crate::output::Output;
use crate::store;

/// Letters of a wished beginning that are found within a second or two.
const PATIENT: usize = 3;

pub(crate) async fn run(args: &args::Touch, global: &Global, output: &Output) -> anyhow::Result<()> {
    let store = store::open(global)?;
    let link = match &args.vanity {
        None => release::touch(&store).await?,
        Some(wish) => {
            if wish.len() > PATIENT {
                output.say("this may take long; stop it with Ctrl-C");
            }
            release::touch_vanity(&store, wish).await?
        }
    };
    store.close()?;
    output.result(&link.to_string());
    output.say(&format!(
        "its secret key is in {}: who loses it cannot release any more. Next: write the link that apps follow into \"upgrade\" of package.json",
        store::folder(global)?.display()
    ));
    output.done(json!({ "key": link.key.to_string(), "link": link.to_string() }));
    Ok(())
}
