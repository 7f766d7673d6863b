//! `bosc.make`: what systems want to know of an app that is installed there, and that nothing else in `package.json` says.

use crate::ManifestError;
use crate::error::quoted;
use crate::fields::Fields;

/// Longest identifier in bytes: Apple's bound.
const MAX_IDENTIFIER_BYTES: usize = 155;
/// Longest publisher in bytes: MSIX's bound.
const MAX_PUBLISHER_BYTES: usize = 8192;

/// What the parts of a publisher may be called, by the schema of MSIX; numbers, `OID.1.2`, as well.
const PUBLISHER_PARTS: [&str; 19] = [
    "CN",
    "L",
    "O",
    "OU",
    "E",
    "C",
    "S",
    "STREET",
    "T",
    "G",
    "I",
    "SN",
    "DC",
    "SERIALNUMBER",
    "Description",
    "PostalCode",
    "POBox",
    "Phone",
    "X21Address",
];

/// What `bosc.make` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Making {
    /// `bosc.make.identifier`: what macOS and Windows know the app by, such as `org.example.my-app`; `bosc.` and `name` if absent.
    pub identifier: String,
    /// `bosc.make.publisher`: who signs an MSIX, as the certificate says it: `CN=Example, O=Example`.
    pub publisher: Option<String>,
}

impl Making {
    pub(crate) fn read(bosc: &Fields<'_>, name: &str) -> Result<Self, ManifestError> {
        let make = bosc.inner("make")?;
        let field = |field: &str, usable: fn(&str) -> bool, wanted: &str| {
            let text = make.text(field)?;
            match text.filter(|text| !usable(text)) {
                Some(wrong) => {
                    Err(make.refuse(field, &format!("must be {wanted}; {} is not", quoted(wrong))))
                }
                None => Ok(text.map(str::to_owned)),
            }
        };
        let identifier = field(
            "identifier",
            is_identifier,
            "a name of two parts or more, of letters, digits and '-', with dots between, such as \"org.example.my-app\"",
        )?;
        Ok(Self {
            identifier: identifier.unwrap_or_else(|| derived(name)),
            publisher: field(
                "publisher",
                is_publisher,
                "the subject of the certificate that signs, such as \"CN=Example, O=Example\"",
            )?,
        })
    }
}

/// An identifier for an app that says none: it is the same for all versions of the app.
fn derived(name: &str) -> String {
    let parts = name.split(['@', '/', '.']).map(|part| part.replace('_', "-"));
    let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
    let mut identifier = format!("bosc.{}", parts.join("."));
    // It is ASCII, as names are.
    identifier.truncate(MAX_IDENTIFIER_BYTES);
    identifier.trim_end_matches('.').to_owned()
}

fn is_identifier(text: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    text.len() <= MAX_IDENTIFIER_BYTES && text.contains('.') && text.split('.').all(part)
}

/// Whether a text is a distinguished name by the schema of MSIX: `CN=a, O="b, c"`.
fn is_publisher(text: &str) -> bool {
    if text.len() > MAX_PUBLISHER_BYTES || text.chars().any(char::is_control) {
        return false;
    }
    let mut rest = text;
    loop {
        let Some((key, value)) = rest.split_once('=') else {
            return false;
        };
        let number = |part: &str| {
            part.parse::<u128>()
                .is_ok_and(|number| number.to_string() == part)
        };
        let numbered = key
            .strip_prefix("OID.")
            .is_some_and(|oid| oid.split('.').all(number));
        if !numbered && key != "dnQualifier" && !PUBLISHER_PARTS.contains(&key) {
            return false;
        }
        let end = match value.strip_prefix('"') {
            Some(quoted) => quoted.find('"').filter(|end| *end > 0).map(|end| end + 2),
            None => Some(
                value
                    .find([',', '+', '=', '"', '<', '>', '#', ';'])
                    .unwrap_or(value.len()),
            )
            .filter(|end| *end > 0),
        };
        let Some(after) = end.and_then(|end| value.get(end..)) else {
            return false;
        };
        match (after, after.strip_prefix(", ")) {
            ("", _) => return true,
            (_, Some(next)) => rest = next,
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Manifest;

    fn read(name: &str, make: &str) -> Result<Making, String> {
        let text =
            format!(r#"{{"name":"{name}","productName":"App","version":"1.0.0","bosc":{{"make":{make}}}}}"#);
        let manifest = Manifest::parse(text.as_bytes(), "it").map_err(|error| error.to_string())?;
        Ok(manifest.making)
    }

    #[test]
    fn an_app_that_says_nothing_has_an_identifier() {
        for (name, identifier) in [
            ("pear-chat", "bosc.pear-chat"),
            ("@my-org/My_App", "bosc.my-org.My-App"),
            ("a..b.", "bosc.a.b"),
            (&"a".repeat(214), &format!("bosc.{}", "a".repeat(150))),
        ] {
            let making = read(name, "{}").unwrap();
            assert_eq!(making.identifier, identifier);
            assert!(is_identifier(&making.identifier), "{identifier}");
            assert_eq!(making.publisher, None);
        }
    }

    #[test]
    fn what_systems_refuse_is_refused_with_the_field_and_what_to_write() {
        for identifier in ["", "app", "a..b", ".a.b", "a.b.", "a.ü", "a.b c", "a.&", "a._"] {
            let error = read("a", &format!(r#"{{"identifier":"{identifier}"}}"#)).unwrap_err();
            assert!(
                error.contains("\"bosc.make.identifier\" must be a name of two parts")
                    && error.contains("org.example.my-app"),
                "{error}"
            );
        }
        let error = read("a", r#"{"publisher":"Example"}"#).unwrap_err();
        assert!(
            error.contains("\"bosc.make.publisher\"") && error.contains("CN=Example"),
            "{error}"
        );
        let all = r#"{"identifier":"org.example.a","publisher":"CN=A & B"}"#;
        assert_eq!(read("a", all).unwrap().publisher.as_deref(), Some("CN=A & B"));
    }

    #[test]
    fn a_publisher_is_a_distinguished_name() {
        for good in [
            "CN=Example",
            "CN=Ü & B, O=Example Ltd., C=DE",
            "CN=\"A, B\", O=C",
            "CN=A, OID.2.25.311729368913984317654407730594956997722=1",
        ] {
            assert!(is_publisher(good), "{good}");
        }
        for bad in [
            "", "Example", "CN=", "cn=a", "CN=a,O=b", "CN=a, ", "CN=a;", "CN=a<b", "CN=\"a", "CN=\"\"",
            "X=a", "OID.=1", "OID.01=1", "CN=a\n", "CN=a=b",
        ] {
            assert!(!is_publisher(bad), "{bad}");
        }
        let long = |n: usize| format!("CN={}", "a".repeat(n));
        assert!(is_publisher(&long(8189)) && !is_publisher(&long(8190)));
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_a_panic(text in "(CN|O|OID\\.[0-9.]{0,3})?=?[\"a,= ü+]{0,12}") {
            let _ = (is_publisher(&text), is_identifier(&text));
        }
    }
}
