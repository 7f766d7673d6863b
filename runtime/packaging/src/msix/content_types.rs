//! `[Content_Types].xml`: what kind each part of the package is of.

use std::collections::BTreeSet;
use std::io;

use super::{BLOCK_MAP, MANIFEST, names};
use crate::xml;

const NAMESPACE: &str = "http://schemas.openxmlformats.org/package/2006/content-types";

/// Kinds by the endings of names.
const KINDS: [(&str, &str); 12] = [
    ("css", "text/css"),
    ("dll", "application/x-msdownload"),
    ("exe", "application/x-msdownload"),
    ("gif", "image/gif"),
    ("html", "text/html"),
    ("jpg", "image/jpeg"),
    ("js", "application/javascript"),
    ("json", "application/json"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain"),
    ("xml", "application/xml"),
];

/// What nothing is known of.
const BYTES: &str = "application/octet-stream";

/// The file for parts with these paths.
pub(super) fn written<'a>(paths: impl Iterator<Item = &'a str>) -> io::Result<Vec<u8>> {
    let (mut endings, mut others) = (BTreeSet::from(["xml".to_owned()]), Vec::new());
    for path in paths {
        let name = path.rsplit('/').next().unwrap_or_default();
        match name.rsplit_once('.') {
            Some((_, ending)) if !ending.is_empty() && ending.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                endings.insert(ending.to_ascii_lowercase());
            }
            _ => others.push(format!("/{}", names::part(path))),
        }
    }
    let own = [
        (MANIFEST, "application/vnd.ms-appx.manifest+xml"),
        (BLOCK_MAP, "application/vnd.ms-appx.blockmap+xml"),
    ];
    xml::document(|xml| {
        let types = xml.create_element("Types").with_attribute(("xmlns", NAMESPACE));
        types.write_inner_content(|xml| {
            for ending in &endings {
                let kind = KINDS.iter().find(|(known, _)| known == ending);
                let kind = kind.map_or(BYTES, |(_, kind)| *kind);
                xml.create_element("Default")
                    .with_attributes([("Extension", ending.as_str()), ("ContentType", kind)])
                    .write_empty()?;
            }
            let own = own.map(|(name, kind)| (format!("/{name}"), kind));
            let others = others.iter().map(|part| (part.clone(), BYTES));
            for (part, kind) in own.into_iter().chain(others) {
                xml.create_element("Override")
                    .with_attributes([("PartName", part.as_str()), ("ContentType", kind)])
                    .write_empty()?;
            }
            Ok(())
        })?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_one_kind() {
        let paths = ["A.EXE", "b.exe", "my tool", "a.tar.gz", "x.ü", ".env", "end."];
        let text = String::from_utf8(written(paths.into_iter()).unwrap()).unwrap();
        let read = roxmltree::Document::parse(&text).unwrap();
        let all: Vec<(&str, &str)> = read
            .root_element()
            .children()
            .filter(roxmltree::Node::is_element)
            .map(|node| {
                let of = node.attribute("Extension").or(node.attribute("PartName"));
                (of.unwrap(), node.attribute("ContentType").unwrap())
            })
            .collect();
        assert_eq!(
            all,
            [
                ("env", BYTES),
                ("exe", "application/x-msdownload"),
                ("gz", BYTES),
                ("xml", "application/xml"),
                ("/AppxManifest.xml", "application/vnd.ms-appx.manifest+xml"),
                ("/AppxBlockMap.xml", "application/vnd.ms-appx.blockmap+xml"),
                ("/my%20tool", BYTES),
                ("/x.%C3%BC", BYTES),
                ("/end.", BYTES),
            ]
        );
    }
}
