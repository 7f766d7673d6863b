//! `bosc multisig sign`: an answer to a request. Needs no network, only the key, and the `pear.json` that says who the team is.

use std::io::ErrorKind;

use anyhow::bail;
use app::Link;
use hypercore::PublicKey;
use multisig::{KeyRing, Request, Response, Team};
use serde_json::{Value, json};

use super::{keys, read_team, show};
use crate::args::{self, MultisigOptions};
use crate::output::Output;
use crate::password;

pub(super) fn run(args: &args::Sign, options: &MultisigOptions, output: &Output) -> anyhow::Result<()> {
    let request: Request = args.request.parse()?;
    let ring = keys::ring(options);
    let name = args.name.parse()?;
    let secret = ring.secret_key(&name)?;
    let public_key = ring.public_key(&name)?.public_key;
    // Before anything is asked: whether this key may sign at all, and whether the request is the team's.
    request.signables(&public_key)?;
    let known = known_team(options)?;
    let ours = known
        .as_ref()
        .filter(|team| team.manifest() == *request.manifest());
    output.say(&show::summary(&request));
    output.say(&match ours {
        Some(team) => format!(
            "for the team of {}, \"{}\"",
            options.config.display(),
            team.namespace()
        ),
        None => "for a team that is not known here".to_owned(),
    });
    signers(&request, &public_key, &ring, output);
    if ours.is_none() {
        refuse_stranger(&request, known.as_ref(), args.force, options)?;
    }
    if options.dry_run {
        output.tag("dry", Value::Null);
        output.say("dry run: nothing is signed");
        output.done(Value::Null);
        return Ok(());
    }
    let password = password::read("Password: ", args.password.password_fd)?;
    let key_pair = secret.open(&password)?;
    drop(password);
    let response = Response::sign(&request, &key_pair)?.to_string();
    drop(key_pair);
    output.tag(
        "sign",
        json!({ "response": response, "publicKey": public_key.to_string(), "at": ring.files(&name).secret }),
    );
    output.say("reply with this response:");
    output.result(&response);
    output.done(Value::Null);
    Ok(())
}

/// The team of pear.json, if there is such a file.
fn known_team(options: &MultisigOptions) -> anyhow::Result<Option<Team>> {
    match std::fs::metadata(&options.config) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        _ => read_team(options).map(Some),
    }
}

/// Who is asked: each signer's key, by the name that it has here, if any.
fn signers(request: &Request, own: &PublicKey, ring: &KeyRing, output: &Output) {
    // A ring that cannot be listed names nobody; the keys say enough.
    let known = ring.list().unwrap_or_default();
    for signer in &request.manifest().signers {
        let key = signer.public_key;
        let name = known.iter().find(|known| known.public_key == key);
        let name = name.map_or_else(|| "(no name here)".to_owned(), |known| known.name.to_string());
        let you = if key == *own { ", you" } else { "" };
        output.say(&format!("  signer {key} {name}{you}"));
    }
}

/// A signature for others is for whatever they make of it, so that it takes a word more.
fn refuse_stranger(
    request: &Request,
    known: Option<&Team>,
    force: bool,
    options: &MultisigOptions,
) -> anyhow::Result<()> {
    let (asked, config) = (Link::plain(request.key()), options.config.display());
    let Some(team) = known else {
        if force {
            return Ok(());
        }
        bail!(
            "nothing here says whose {asked} is: run this where the team's pear.json is, or name it with --config; \
             if you know that link and its signers, add --force"
        );
    };
    let ours = Link::plain(team.key());
    if request.key() == team.blobs_manifest().key() {
        bail!(
            "the request asks for the contents of {ours} as if they were a drive, and so for a half of a release that nobody sees: \
             sign nothing of it, and ask who sent it"
        );
    }
    if !force {
        bail!(
            "the request is for {asked}, but {config} makes {ours}: use the pear.json of that team, or ask who sent it; \
             if you know that link and its signers, add --force"
        );
    }
    Ok(())
}
