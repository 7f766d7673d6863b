//! What a Linux desktop is told of an app: its entry in the menu, and its icons.

use app::Manifest;

use crate::PackagingError;
use crate::icons::Icons;
use crate::tree::{Item, Tree};

/// The widths that the hicolor theme has and desktops use, in pixels.
pub(crate) const ICON_SIZES: [u32; 8] = [16, 24, 32, 48, 64, 128, 256, 512];

/// The icon that is shown where only one is: what menus draw at most.
const MAIN_ICON: u32 = 256;

/// The desktop entry of an app, which is started as `program`.
///
/// # Errors
/// If its category is none.
pub(crate) fn entry(manifest: &Manifest, program: &str, icon: bool) -> Result<String, PackagingError> {
    let name = &manifest.name;
    let mut entry = String::from("[Desktop Entry]\nType=Application\n");
    let mut line = |key: &str, value: &str| entry.push_str(&format!("{key}={value}\n"));
    line("Name", &text(&manifest.window.title));
    if let Some(comment) = manifest.document.field("description") {
        line("Comment", &text(comment));
    }
    line("Exec", &format!("{} %U", exec(program)));
    if icon {
        line("Icon", name);
    }
    line("Terminal", "false");
    line("Categories", manifest.category()?.desktop);
    // The shell calls its windows so.
    line("StartupWMClass", &text(&manifest.product_name));
    if is_scheme(name) {
        line("MimeType", &format!("x-scheme-handler/{name};"));
    }
    Ok(entry)
}

/// Text in an entry: on one line, with the format's own escapes.
fn text(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('\t', "\\t")
        .replace('\r', "\\r")
}

/// A program in an entry: quoted where the format wants it, and with its escapes on top of a text's.
fn exec(program: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if program.chars().all(plain) {
        return program.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in program.chars() {
        match c {
            '"' | '`' | '$' | '\\' => quoted.extend(['\\', c]),
            '%' => quoted.push_str("%%"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    text(&quoted)
}

/// Whether links can begin so.
pub(crate) fn is_scheme(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(inner)
}

/// The icon that stands for the app.
fn main_icon(icons: &Icons) -> Option<&[u8]> {
    let fitting = ICON_SIZES.into_iter().rev().filter(|size| *size <= MAIN_ICON);
    fitting.filter_map(|size| icons.get(size)).next()
}

/// The app's icons as a theme, at their places below `usr/share`.
pub(crate) fn theme(icons: &Icons, name: &str) -> Result<Tree, PackagingError> {
    let mut tree = Tree::default();
    for size in ICON_SIZES {
        if let Some(png) = icons.get(size) {
            let path = format!("icons/hicolor/{size}x{size}/apps/{name}.png");
            tree.put(path, Item::bytes(png))?;
        }
    }
    Ok(tree)
}

/// A bundle as the folder that an AppImage holds: with what starts it, its entry and its icons.
pub(crate) fn app_dir(
    bundle: Tree,
    icons: &Icons,
    manifest: &Manifest,
    program: &str,
) -> Result<Tree, PackagingError> {
    let name = &manifest.name;
    let mut tree = bundle;
    tree.put("AppRun", Item::Link(program.to_owned()))?;
    let entry = entry(manifest, program, icons.any())?;
    tree.put(format!("{name}.desktop"), Item::bytes(entry))?;
    if let Some(icon) = main_icon(icons) {
        tree.put(format!("{name}.png"), Item::bytes(icon))?;
        tree.put(".DirIcon", Item::Link(format!("{name}.png")))?;
    }
    tree.put_all("usr/share", theme(icons, name)?)?;
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_what_package_json_does() {
        let manifest = br#"{"name":"my-chat","productName":"My Chat","version":"1.0.0",
            "description":"One\nline \\ more","bosc":{"window":{"title":"A chat"},"category":"Video"}}"#;
        let manifest = Manifest::parse(manifest, "p").unwrap();
        assert_eq!(
            entry(&manifest, "My Chat", true).unwrap(),
            "[Desktop Entry]\nType=Application\nName=A chat\nComment=One\\nline \\\\ more\n\
             Exec=\"My Chat\" %U\nIcon=my-chat\nTerminal=false\nCategories=AudioVideo;Video;\nStartupWMClass=My Chat\n\
             MimeType=x-scheme-handler/my-chat;\n"
        );
        let manifest = Manifest::parse(br#"{"name":"My_Chat","version":"1.0.0"}"#, "p").unwrap();
        let plain = entry(&manifest, "My_Chat", false).unwrap();
        assert!(!plain.contains("MimeType") && !plain.contains("Icon") && plain.contains("Name=My_Chat\n"));
        assert!(plain.contains("Categories=Utility;\n"), "{plain}");
    }

    #[test]
    fn programs_are_quoted_as_the_format_wants() {
        assert_eq!(exec("/usr/bin/my-chat"), "/usr/bin/my-chat");
        assert_eq!(exec("A 100% $b"), "\"A 100%% \\\\$b\"");
    }
}
