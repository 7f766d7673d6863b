//! What signers and committers see of a release: versions, files, sizes, signers.

use app::Link;
use hyperdrive::{Diff, DiffOp};
use indicatif::HumanBytes;
use multisig::{Ballot, Changes, Content, Part, Release, Request};
use serde_json::{Value, json};

use crate::output::Output;

/// Prints one changed path with a note.
type PrintDiff = fn(&Output, &Diff, &str);

/// What changes for those who follow the team's drive. `print` says which stream the paths go to.
pub(super) fn changes(
    release: &Release,
    request: &Request,
    content: &Content,
    changes: &Changes,
    print: PrintDiff,
    output: &Output,
) {
    let (entries, contents) = (
        release.target(Part::Entries).length(),
        release.target(Part::Contents).length(),
    );
    let shown = |version: &Option<String>| version.clone().unwrap_or_else(|| "no version".to_owned());
    let (from, to) = (&changes.versions.from, shown(&changes.versions.to));
    output.say(&summary(request));
    if release.is_first() {
        output.say(&format!("first release: {to}"));
        output.say("(neither this store nor any peer knows of an earlier one)");
    } else {
        output.say(&format!("version {} → {to}", shown(from)));
    }
    if *from == changes.versions.to && !release.is_first() {
        output.say("the version stays the same: apps will not take this for an update");
    }
    for file in &changes.files {
        let mut note = String::new();
        if let Some(target) = &file.linkname {
            note = format!(" → {target}");
        } else if file.executable {
            note.push_str(" program");
        }
        print(output, &file.diff, &note);
    }
    for field in &changes.fields {
        output.say(&format!("~ field {field}"));
    }
    let count = |op: DiffOp| changes.files.iter().filter(|file| file.diff.op == op).count();
    let added = changes.files.iter().map(|file| file.diff.bytes_added).sum();
    let removed = changes.files.iter().map(|file| file.diff.bytes_removed).sum();
    output.say(&format!(
        "{} added, {} changed, {} removed (+{}, -{}); length {entries} → {}, contents {contents} → {} blocks",
        count(DiffOp::Add),
        count(DiffOp::Change),
        count(DiffOp::Remove),
        HumanBytes(added),
        HumanBytes(removed),
        request.length(),
        content.length,
    ));
    output.tag(
        "diffed",
        json!({ "changes": changes.files.len(), "fields": changes.fields, "firstRelease": release.is_first(),
            "version": { "from": changes.versions.from, "to": changes.versions.to },
            "length": { "from": entries, "to": request.length() },
            "contents": { "from": contents, "to": content.length } }),
    );
}

/// What a request asks, in one line.
pub(super) fn summary(request: &Request) -> String {
    let manifest = request.manifest();
    format!(
        "{} · {} of {} signers · length {}, contents {} blocks · request {}",
        Link::plain(request.key()),
        manifest.quorum,
        manifest.signers.len(),
        request.length(),
        request.content().length,
        fingerprint(request)
    )
}

/// A few characters to compare requests by, over a phone for instance.
fn fingerprint(request: &Request) -> String {
    z32::encode(&request.hash()).chars().take(12).collect()
}

/// Who signed and who did not.
pub(super) fn quorum(ballot: &Ballot, output: &Output) {
    for place in ballot.repeated() {
        output.say(&format!(
            "response {} is by a signer who answered already: it does not count again",
            place + 1
        ));
    }
    for (key, answered) in ballot.signers() {
        output.say(&format!("{} {key}", if answered { "signed " } else { "missing" }));
    }
    output.say(&format!("Quorum: {} / {}", ballot.obtained(), ballot.needed()));
}

/// The counts of a ballot in results; upstream calls the needed number `amount`.
pub(super) fn quorum_data(ballot: &Ballot) -> Value {
    json!({ "amount": ballot.needed(), "total": ballot.obtained() })
}
