//! Which packages a program needs, by the libraries that it names.

use std::collections::BTreeSet;

use object::Endianness;
use object::elf::{self, FileHeader64};
use object::read::elf::{Dyn, FileHeader};

use crate::PackagingError;
use crate::tree::{Item, Source, Tree};

/// What every app on Bosc shows its page with.
const VIEW: [&str; 2] = ["libgtk-3-0", "libwebkit2gtk-4.1-0"];

/// Libraries by the names that programs know them by, and the packages that bring them; newer packages with `t64` in their names provide
/// these as well. Libraries that are not here come with those that are.
const PACKAGES: [(&str, &str); 16] = [
    ("libwebkit2gtk-4.1.so.0", "libwebkit2gtk-4.1-0"),
    ("libjavascriptcoregtk-4.1.so.0", "libjavascriptcoregtk-4.1-0"),
    ("libsoup-3.0.so.0", "libsoup-3.0-0"),
    ("libgtk-3.so.0", "libgtk-3-0"),
    ("libgdk-3.so.0", "libgtk-3-0"),
    ("libgdk_pixbuf-2.0.so.0", "libgdk-pixbuf-2.0-0"),
    ("libcairo.so.2", "libcairo2"),
    ("libcairo-gobject.so.2", "libcairo-gobject2"),
    ("libpango-1.0.so.0", "libpango-1.0-0"),
    ("libatk-1.0.so.0", "libatk1.0-0"),
    ("libglib-2.0.so.0", "libglib2.0-0"),
    ("libgobject-2.0.so.0", "libglib2.0-0"),
    ("libgio-2.0.so.0", "libglib2.0-0"),
    ("libX11.so.6", "libx11-6"),
    ("libgcc_s.so.1", "libgcc-s1"),
    ("libstdc++.so.6", "libstdc++6"),
];

/// What the names of the C library's versions begin with.
const C_LIBRARY: &str = "GLIBC_";

/// The packages that the programs of a bundle need, in order.
pub(super) fn of(bundle: &Tree) -> Result<Vec<String>, PackagingError> {
    let mut packages: BTreeSet<String> = VIEW.iter().map(|name| (*name).to_owned()).collect();
    let mut c_library = (0, 0);
    for (_, item) in bundle.items() {
        let Item::File {
            from: Source::Path(path),
            executable: true,
        } = item
        else {
            continue;
        };
        let program = std::fs::read(path).map_err(PackagingError::io("read", path))?;
        // A script needs what its author knows.
        let Some(needs) = needs(&program) else { continue };
        for library in &needs.libraries {
            let known = PACKAGES.iter().find(|(name, _)| name == library);
            packages.extend(known.map(|(_, package)| (*package).to_owned()));
        }
        c_library = c_library.max(needs.c_library);
    }
    let c_library = match c_library {
        (0, 0) => "libc6".to_owned(),
        (major, minor) => format!("libc6 (>= {major}.{minor})"),
    };
    packages.insert(c_library);
    Ok(packages.into_iter().collect())
}

#[derive(Debug, Default)]
struct Needs {
    libraries: Vec<String>,
    c_library: (u32, u32),
}

/// What a program names; `None` if it is no program that can be read.
fn needs(program: &[u8]) -> Option<Needs> {
    let head = FileHeader64::<Endianness>::parse(program).ok()?;
    let order = head.endian().ok()?;
    let sections = head.sections(order, program).ok()?;
    let mut needs = Needs::default();
    if let Some((entries, strings)) = sections.dynamic(order, program).ok()? {
        let strings = sections.strings(order, program, strings).ok()?;
        for entry in entries.iter().filter(|entry| entry.tag(order) == elf::DT_NEEDED) {
            let name = entry.string(order, strings).ok()?;
            needs.libraries.push(String::from_utf8_lossy(name).into_owned());
        }
    }
    if let Some((mut files, strings)) = sections.gnu_verneed(order, program).ok()? {
        let strings = sections.strings(order, program, strings).ok()?;
        while let Some((_, mut versions)) = files.next().ok()? {
            while let Some(version) = versions.next().ok()? {
                let name = String::from_utf8_lossy(version.name(order, strings).ok()?).into_owned();
                needs.c_library = needs.c_library.max(number(&name).unwrap_or_default());
            }
        }
    }
    Some(needs)
}

/// The number in the name of a version of the C library.
fn number(name: &str) -> Option<(u32, u32)> {
    let mut parts = name.strip_prefix(C_LIBRARY)?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bundle that holds a program and nothing else.
    fn bundle(program: std::path::PathBuf) -> Tree {
        let mut bundle = Tree::default();
        let program = Item::File {
            from: Source::Path(program),
            executable: true,
        };
        bundle.put("App", program).unwrap();
        bundle
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_program_says_what_it_needs() {
        let bundle = bundle(std::env::current_exe().unwrap());
        let depends = of(&bundle).unwrap();
        assert!(depends.contains(&"libgcc-s1".to_owned()), "{depends:?}");
        let c_library = depends
            .iter()
            .find(|package| package.starts_with("libc6 (>= 2."))
            .unwrap();
        // No older one has what Rust's own library asks for.
        let minor: u32 = c_library
            .trim_matches(|c: char| !c.is_ascii_digit())
            .rsplit('.')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert!((17..100).contains(&minor), "{c_library}");
        assert_eq!(number("GLIBC_2.34"), Some((2, 34)));
        assert_eq!((number("GLIBC_PRIVATE"), number("GCC_3.0")), (None, None));
    }

    #[test]
    fn a_script_needs_what_shows_the_page() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("App"), "#!/bin/sh\n").unwrap();
        let bundle = bundle(dir.path().join("App"));
        assert_eq!(
            of(&bundle).unwrap(),
            ["libc6", "libgtk-3-0", "libwebkit2gtk-4.1-0"]
        );
    }
}
