//! Who made an app, by package.json.

use app::Manifest;
use serde_json::Value;

/// Name and address in `author`, as npm writes it: `Name <address>`, or an object.
pub(crate) fn of(manifest: &Manifest) -> (Option<String>, Option<String>) {
    let author = manifest.document.value().get("author");
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::trim).map(str::to_owned);
    let (name, address) = match author {
        Some(Value::String(author)) => match author.split_once('<') {
            Some((name, rest)) => {
                let address = rest.split('>').next().unwrap_or_default();
                (Some(name.trim().to_owned()), Some(address.trim().to_owned()))
            }
            None => (Some(author.trim().to_owned()), None),
        },
        Some(author) => (text(author.get("name")), text(author.get("email"))),
        None => (None, None),
    };
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    (given(name), given(address))
}
