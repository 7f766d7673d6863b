//! `bosc multisig`: a release that enough signers approved, none of whom could make it alone.

mod commit;
mod keys;
mod request;
mod seeders;
mod session;
mod show;
mod sign;

use anyhow::Context;
use app::Link;
use multisig::Team;
use serde_json::json;

use crate::args::{Global, Multisig, MultisigCommand, MultisigOptions};
use crate::output::Output;

pub(crate) async fn run(args: &Multisig, global: &Global, output: &Output) -> anyhow::Result<()> {
    let options = &args.options;
    match &args.command {
        MultisigCommand::Keys { command } => keys::run(command, options, output),
        MultisigCommand::Link => link(options, output),
        MultisigCommand::Request(request) => request::run(request, options, global, output).await,
        MultisigCommand::Sign(sign) => sign::run(sign, options, output),
        MultisigCommand::Verify(verify) => commit::run(verify, true, options, global, output).await,
        MultisigCommand::Commit(commit) => {
            commit::run(commit, options.dry_run, options, global, output).await
        }
    }
}

fn link(options: &MultisigOptions, output: &Output) -> anyhow::Result<()> {
    let team = read_team(options)?;
    let link = Link::plain(team.key()).to_string();
    output.say(&format!(
        "{} of {} signers, namespace \"{}\": write this link into `upgrade` of package.json",
        team.quorum(),
        team.public_keys().len(),
        team.namespace()
    ));
    output.result(&link);
    output.done(json!({ "link": link }));
    Ok(())
}

/// The team of pear.json.
fn read_team(options: &MultisigOptions) -> anyhow::Result<Team> {
    let path = options.config.display();
    let text = std::fs::read_to_string(&options.config).with_context(|| {
        format!("cannot read {path}: run this where pear.json is, or name it with --config")
    })?;
    Team::from_config(&text).with_context(|| format!("{path}"))
}
