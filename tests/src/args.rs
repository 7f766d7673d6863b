//! What the programs of this crate do first: log where a person sees it, and read `part... --name value...`.

use anyhow::{Context, Result, bail};

/// Logs to standard error what `RUST_LOG` lets through, and returns the arguments after the program's name.
pub fn begin() -> Vec<String> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    std::env::args().skip(1).collect()
}

/// Parts the values from the rest, which is returned: `set` is given each with its name, and says whether it knows that.
///
/// # Errors
/// If a value is missing or not understood, or its name is not known.
pub fn read(args: Vec<String>, mut set: impl FnMut(&str, String) -> Result<bool>) -> Result<Vec<String>> {
    let (mut rest, mut args) = (Vec::new(), args.into_iter());
    while let Some(name) = args.next() {
        if !name.starts_with("--") {
            rest.push(name);
            continue;
        }
        let value = args.next().with_context(|| format!("{name} wants a value"))?;
        if !set(&name, value)? {
            bail!("{name} is not known");
        }
    }
    Ok(rest)
}
