//! `bosc multisig sign`: an answer to a request. Needs no network, only the key.

use multisig::{Request, Response};
use serde_json::{Value, json};

use super::{keys, show};
use crate::args::{self, MultisigOptions};
use crate::output::Output;
use crate::password;

pub(super) fn run(args: &args::Sign, options: &MultisigOptions, output: &Output) -> anyhow::Result<()> {
    let request: Request = args.request.parse()?;
    let ring = keys::ring(options);
    let name = args.name.parse()?;
    let secret = ring.secret_key(&name)?;
    let public_key = ring.public_key(&name)?.public_key;
    // Before anything is asked: whether this key may sign at all.
    request.signables(&public_key.0)?;
    output.say(&show::summary(&request));
    output.say(&format!("signing as {public_key} ({name})"));
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
