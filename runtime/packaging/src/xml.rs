//! XML documents: what may stand in them, and writing them.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use crate::PackagingError;

/// What writes a document into memory.
pub(crate) type Xml = Writer<Vec<u8>>;

/// A document, with its declaration.
pub(crate) fn document(write: impl FnOnce(&mut Xml) -> io::Result<()>) -> io::Result<Vec<u8>> {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), Some("no"))))?;
    write(&mut xml)?;
    let mut bytes = xml.into_inner();
    bytes.push(b'\n');
    Ok(bytes)
}

/// An element that holds a text.
pub(crate) fn text(xml: &mut Xml, name: &str, text: &str) -> io::Result<()> {
    xml.create_element(name)
        .write_text_content(BytesText::new(text))?;
    Ok(())
}

/// Refuses a field of package.json with a character that XML cannot say, escaped or not.
pub(crate) fn check(field: &'static str, text: &str) -> Result<(), PackagingError> {
    let said = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..);
    match text.chars().find(|c| !said(*c)) {
        None => Ok(()),
        Some(c) => Err(PackagingError::Field {
            field,
            what: format!(
                "has the character U+{:04X}, which cannot be written there",
                u32::from(c)
            ),
            advice: "leave it out".to_owned(),
        }),
    }
}

/// A text on one line, with single spaces.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let odd = "a & b < c > \"d\" 'e' ü 🎉";
        let written = document(|xml| {
            xml.create_element("a")
                .with_attribute(("b", odd))
                .write_inner_content(|xml| text(xml, "c", odd))?;
            Ok(())
        });
        let written = String::from_utf8(written.unwrap()).unwrap();
        let read = roxmltree::Document::parse(&written).unwrap();
        assert_eq!(read.root_element().attribute("b"), Some(odd));
        assert_eq!(
            read.root_element().first_element_child().unwrap().text(),
            Some(odd)
        );
    }

    #[test]
    fn characters_that_xml_lacks_are_refused_with_the_field() {
        check("description", "a\tü\u{fffd}🎉").unwrap();
        for odd in ["\0", "\u{b}", "\u{ffff}", "\u{1b}[2K"] {
            let error = check("description", odd).unwrap_err().to_string();
            assert!(
                error.contains("\"description\"") && error.contains("U+00") | error.contains("U+FFFF"),
                "{error}"
            );
        }
        assert_eq!(one_line(" a\n b\t c "), "a b c");
    }
}
