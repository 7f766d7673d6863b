//! Entries of a drive, and the paths and links they lead to on a disk: what decodes is encoded again to the same, and what may be
//! written lies beneath the folder, wherever a link leads.

#![no_main]

use std::path::{Component, Path};

use arbitrary::Arbitrary;
use hyperdrive::fuzzing::{check_key, check_link, decode_entry, encode_entry, join};
use hyperdrive::path;
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    Entry(&'a [u8], &'a [u8]),
    Key(&'a str),
    /// A key and a link made of a few telling pieces.
    Link(Vec<Piece>, Vec<Piece>),
    Text(&'a str, &'a str),
}

#[derive(Debug, Arbitrary)]
enum Piece {
    Slash,
    Up,
    Here,
    Back,
    Nul,
    Name(u8),
    Char(char),
}

fn text(pieces: &[Piece]) -> String {
    let mut out = String::new();
    for piece in pieces.iter().take(24) {
        match piece {
            Piece::Slash => out.push('/'),
            Piece::Up => out.push_str(".."),
            Piece::Here => out.push('.'),
            Piece::Back => out.push('\\'),
            Piece::Nul => out.push('\0'),
            Piece::Name(n) => out.push(char::from(b'a' + n % 3)),
            Piece::Char(c) => out.push(*c),
        }
    }
    out
}

fuzz_target!(|input: Input| {
    match input {
        Input::Entry(key, value) => {
            if let Ok(entry) = decode_entry(7, key, value) {
                let again = decode_entry(7, entry.key.as_bytes(), &encode_entry(&entry)).expect("ours");
                assert_eq!(again, entry);
            }
        }
        Input::Key(key) => on_key(key),
        Input::Link(key, link) => {
            // A key that is good for something most of the time.
            let key = format!("/{}", text(&key));
            on_key(&key);
            on_link(&key, &text(&link));
        }
        Input::Text(key, link) => on_link(key, link),
    }
});

fn on_key(key: &str) {
    if let Ok(normal) = path::normalize(key) {
        assert_eq!(path::normalize(&normal).as_ref().ok(), Some(&normal));
        assert!(
            normal.starts_with('/')
                && !normal.ends_with('/')
                && !normal.contains("//")
                && !normal.contains('\0')
        );
        assert!(path::is_within(&normal, path::parent(&normal)));
    }
    if check_key(key).is_ok() {
        assert_eq!(
            path::normalize(key).ok().as_deref(),
            Some(key),
            "in normal form already"
        );
        let root = Path::new("/root/folder");
        let full = join(root, key);
        assert!(full.starts_with(root) && full != root);
        let beneath = full.strip_prefix(root).expect("beneath it");
        assert!(
            beneath
                .components()
                .all(|part| matches!(part, Component::Normal(_)))
        );
        assert_eq!(beneath.components().count(), key.matches('/').count());
    }
}

fn on_link(key: &str, link: &str) {
    let Ok(written) = check_link(key, link) else {
        return;
    };
    assert!(check_key(key).is_ok());
    assert!(!written.is_empty() && !written.contains('\0') && !Path::new(&written).has_root());
    // From the folder of the link, it goes up no further than the root, and only before it goes down.
    let mut depth = key.matches('/').count() - 1;
    let mut down = false;
    for name in written.split('/').filter(|name| !matches!(*name, "" | ".")) {
        if name == ".." {
            assert!(!down, "{written}");
            depth = depth.checked_sub(1).expect("it leads above the root");
        } else {
            down = true;
        }
    }
    // It leads to where it was meant to.
    assert_eq!(
        path::resolve_link(key, &written).ok(),
        path::resolve_link(key, link).ok()
    );
}
