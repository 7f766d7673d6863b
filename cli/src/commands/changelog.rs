//! `bosc changelog`: what changed from version to version, as a link's or a folder's CHANGELOG.md says it.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use app::Link;
use futures::TryStreamExt;
use release::changelog::{Of, sections};
use release::{CHANGELOG, Dump};
use serde_json::{Value, json};

use crate::args::{self, Global};
use crate::output::Output;
use crate::store;

/// The largest changelog that is read.
const MAX_BYTES: usize = 4 << 20;

pub(crate) async fn run(args: &args::Changelog, global: &Global, output: &Output) -> anyhow::Result<()> {
    let of = match &args.of {
        _ if args.full => Of::All,
        Some(range) => Of::range(range)?,
        None => Of::Major,
    };
    let text = if args.link.contains("://") {
        of_link(args, global).await?
    } else {
        of_folder(Path::new(&args.link))?
    };
    let chosen = of.choose(sections(&text.unwrap_or_default()), args.max);
    if chosen.is_empty() {
        output.tag(
            "changelog",
            json!({ "version": Value::Null, "changelog": "", "max": args.max }),
        );
        output.result("[ No Changelog ]");
    }
    for (index, section) in chosen.iter().enumerate() {
        output.tag(
            "changelog",
            json!({ "version": section.version, "changelog": section.text, "index": index, "max": args.max }),
        );
        if index > 0 {
            output.result("");
        }
        section.text.lines().for_each(|line| output.result(line));
    }
    output.done(json!({}));
    Ok(())
}

/// That of a folder, or the file itself; `None` if there is none.
fn of_folder(path: &Path) -> anyhow::Result<Option<String>> {
    let file = if path.is_dir() {
        path.join(CHANGELOG)
    } else {
        path.to_owned()
    };
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && path.is_dir() => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// That of a link; `None` if it has none.
async fn of_link(args: &args::Changelog, global: &Global) -> anyhow::Result<Option<String>> {
    let mut link: Link = args.link.parse()?;
    link.path = format!("/{CHANGELOG}");
    let network = store::network(global, store::open(global)?);
    let dump = Dump::open(&network, link, None, Duration::from_secs(args.timeout)).await?;
    let text = match dump.read().await {
        Ok((_, mut contents)) => {
            let mut bytes = Vec::new();
            while let Some(part) = contents.try_next().await? {
                bytes.extend_from_slice(&part);
                anyhow::ensure!(
                    bytes.len() <= MAX_BYTES,
                    "{CHANGELOG} is larger than {MAX_BYTES} bytes"
                );
            }
            Some(String::from_utf8_lossy(&bytes).into_owned())
        }
        Err(release::ReleaseError::Refused(release::Why::Missing, _)) => None,
        Err(error) => return Err(error.into()),
    };
    network.close().await?;
    Ok(text)
}
