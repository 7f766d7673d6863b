//! `bosc version`: npm's `version`, for package.json alone.

use app::Document;
use serde_json::json;

use crate::args;
use crate::output::Output;

pub(crate) fn run(args: &args::Version, output: &Output) -> anyhow::Result<()> {
    let package = Document::read(&args.package)?;
    let Some(bump) = args.bump.as_deref() else {
        let version = package.version()?;
        output.result(&version.to_string());
        output.done(json!({ "version": version.to_string() }));
        return Ok(());
    };
    let next = release::next_version(&package, bump, args.preid.as_deref())?;
    release::write_version(&args.package, &package, &next)?;
    output.result(&format!("v{next}"));
    output.done(json!({ "version": next.to_string() }));
    Ok(())
}
