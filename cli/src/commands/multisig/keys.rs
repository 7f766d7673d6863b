//! `bosc multisig keys`: signing keys, in the folder and the files that `pear` uses.

use std::path::Path;

use anyhow::Context;
use hypercore::PublicKey;
use multisig::{EncryptedKey, KeyFiles, KeyName, KeyRing, KeyRingError, decode_public_key};
use serde_json::{Value, json};

use crate::args::{AddKey, GetKey, KeyCommand, MultisigOptions, RemoveKey};
use crate::output::Output;
use crate::password;

/// The ring of `--keys-dir`, else `pear`'s.
pub(super) fn ring(options: &MultisigOptions) -> KeyRing {
    let folder = options.keys_dir.clone();
    KeyRing::new(folder.unwrap_or_else(|| std::env::home_dir().unwrap_or_default().join(".pear")))
}

pub(super) fn run(command: &KeyCommand, options: &MultisigOptions, output: &Output) -> anyhow::Result<()> {
    let ring = ring(options);
    match command {
        KeyCommand::Get(get_key) => get(&ring, get_key, options.dry_run, output)?,
        KeyCommand::Add(add_key) => add(&ring, add_key, options.dry_run, output)?,
        KeyCommand::Remove(remove_key) => remove(&ring, remove_key, options.dry_run, output)?,
        KeyCommand::List => list(&ring, output)?,
        KeyCommand::Paths { name } => {
            let files = ring.files(&name.parse()?);
            output.tag("key", with_paths(&files, json!({ "paths": true })));
            output.path(&files.public);
            output.path(&files.secret);
        }
    }
    output.done(Value::Null);
    Ok(())
}

fn get(ring: &KeyRing, args: &GetKey, dry_run: bool, output: &Output) -> anyhow::Result<()> {
    let name: KeyName = args.name.parse()?;
    let files = ring.files(&name);
    let key = match ring.public_key(&name) {
        Ok(key) => key.public_key,
        Err(KeyRingError::NotFound(..)) if dry_run => {
            output.tag("dry", Value::Null);
            output.say(&format!(
                "dry run: would make the key \"{name}\" in {}",
                ring.folder().display()
            ));
            return Ok(());
        }
        Err(KeyRingError::NotFound(..)) => make(ring, &name, args, output)?,
        Err(error) => return Err(error.into()),
    };
    let secret = if args.secret {
        Some(ring.secret_key(&name)?)
    } else {
        None
    };
    let secret = secret.map(|secret| {
        let bytes = if args.legacy {
            secret.encode_legacy()
        } else {
            secret.encode()
        };
        z32::encode(&bytes)
    });
    let mut data = with_paths(
        &files,
        json!({ "name": name.to_string(), "publicKey": key.to_string(),
            "at": { "pub": files.public, "prv": files.secret } }),
    );
    if let (Some(object), Some(secret)) = (data.as_object_mut(), &secret) {
        object.insert("privateKey".to_owned(), json!(secret));
    }
    output.tag("key", data);
    output.result(secret.as_deref().unwrap_or(&key.to_string()));
    Ok(())
}

/// A new key under a new password.
fn make(ring: &KeyRing, name: &KeyName, args: &GetKey, output: &Output) -> anyhow::Result<PublicKey> {
    output.say(&format!(
        "there is no key \"{name}\" in {} yet: choose a password for a new one",
        ring.folder().display()
    ));
    let password = password::choose("Password: ", args.password.password_fd)?;
    let secret = EncryptedKey::generate(&password)?;
    drop(password);
    let public_key = secret.public_key().context("a new key has a public key")?;
    let files = ring.add(name, &public_key, Some(&secret))?;
    output.say(&format!(
        "the secret key is in {}, under that password; keep a copy elsewhere, nobody can restore either",
        files.secret.display()
    ));
    Ok(public_key)
}

fn add(ring: &KeyRing, args: &AddKey, dry_run: bool, output: &Output) -> anyhow::Result<()> {
    let name: KeyName = args.name.parse()?;
    let public_key = public_key(&args.public)?;
    let secret = match &args.secret {
        Some(given) => Some(
            EncryptedKey::read(&content(given)?)
                .with_context(|| format!("{} is no encrypted secret key", shown(given)))?,
        ),
        None => None,
    };
    let files = if dry_run {
        let files = ring.check_new(&name, &public_key, secret.as_ref())?;
        output.tag("dry", Value::Null);
        output.say("dry run: nothing is written");
        files
    } else {
        ring.add(&name, &public_key, secret.as_ref())?
    };
    output.tag(
        "key",
        with_paths(
            &files,
            json!({ "name": name.to_string(), "publicKey": public_key.to_string() }),
        ),
    );
    output.result(&format!("{name} {public_key}"));
    Ok(())
}

fn remove(ring: &KeyRing, args: &RemoveKey, dry_run: bool, output: &Output) -> anyhow::Result<()> {
    let name: KeyName = args.name.parse()?;
    let key = ring.public_key(&name)?;
    if key.owned && !args.force {
        anyhow::bail!(
            "\"{name}\" has a secret key, and who loses that can sign no release any more: keep a copy \
             (`bosc multisig keys get {name} --secret`), then say --force"
        );
    }
    if dry_run {
        output.tag("dry", Value::Null);
        output.say(&format!("dry run: would remove \"{name}\" {}", key.public_key));
    } else {
        ring.remove(&name)?;
        output.tag("removed", json!({ "name": name.to_string() }));
        output.result(&format!("removed {name}"));
    }
    Ok(())
}

fn list(ring: &KeyRing, output: &Output) -> anyhow::Result<()> {
    let keys = ring.list()?;
    let data = keys.iter().map(|key| {
        let files = ring.files(&key.name);
        json!({ "name": key.name.to_string(), "publicKey": key.public_key.to_string(), "owned": key.owned, "at": files.public })
    });
    output.tag("list", json!({ "keys": data.collect::<Vec<_>>() }));
    if keys.is_empty() {
        output.result("(no keys)");
    }
    let width = keys
        .iter()
        .map(|key| key.name.to_string().len())
        .max()
        .unwrap_or(0);
    for key in &keys {
        let owned = if key.owned { "yours" } else { "public key only" };
        let name = key.name.to_string();
        output.result(&format!("{name:<width$}  {}  {owned}", key.public_key));
    }
    Ok(())
}

fn with_paths(files: &KeyFiles, mut data: Value) -> Value {
    if let Some(object) = data.as_object_mut() {
        object.insert("pub".to_owned(), json!(files.public));
        object.insert("prv".to_owned(), json!(files.secret));
    }
    data
}

/// A public key as text, or the file that holds it, raw or as text.
fn public_key(given: &str) -> anyhow::Result<PublicKey> {
    if let Ok(key) = given.parse() {
        return Ok(key);
    }
    decode_public_key(&content(given)?).with_context(|| {
        format!(
            "{} is no public key: expected 52 z-base-32 characters, 64 hex digits, or a file",
            shown(given)
        )
    })
}

/// What a file holds, or the text itself if there is no such file.
fn content(given: &str) -> anyhow::Result<Vec<u8>> {
    if Path::new(given).is_file() {
        return std::fs::read(given).with_context(|| format!("cannot read {given}"));
    }
    Ok(given.as_bytes().to_vec())
}

/// An argument in a message: long ones are cut.
fn shown(given: &str) -> String {
    if given.chars().count() > 60 {
        format!("\"{}…\"", given.chars().take(24).collect::<String>())
    } else {
        format!("\"{given}\"")
    }
}
