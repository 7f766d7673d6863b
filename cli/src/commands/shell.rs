//! `bosc completions` and `bosc man`: what a shell and `man` want to know of this program, made from its own arguments.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use clap::{Command, CommandFactory};
use serde_json::json;

use crate::args::{self, Args};
use crate::output::Output;

/// Prints the completions of a shell.
pub(crate) fn completions(args: &args::Completions, output: &Output) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "bosc", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    output.done(json!({}));
    Ok(())
}

/// Writes a page for the program and for each of its commands.
pub(crate) fn man(args: &args::Man, output: &Output) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.dir).with_context(|| format!("cannot make {}", args.dir.display()))?;
    let mut command = Args::command().disable_help_subcommand(true);
    command.build();
    let count = pages(&command, &args.dir)?;
    output.say(&format!("wrote {count} pages"));
    output.path(&args.dir);
    output.done(json!({ "dir": args.dir.display().to_string(), "pages": count }));
    Ok(())
}

/// Writes the pages of a command and of those below it; how many.
fn pages(command: &Command, dir: &Path) -> anyhow::Result<usize> {
    let name = command
        .get_display_name()
        .unwrap_or(command.get_name())
        .to_owned();
    let file = dir.join(format!("{name}.1"));
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .title(name.to_uppercase())
        .render(&mut page)?;
    std::fs::write(&file, page).with_context(|| format!("cannot write {}", file.display()))?;
    let mut count = 1;
    for below in command.get_subcommands() {
        count += pages(below, dir)?;
    }
    Ok(count)
}
