//! Names that are no names on Windows, names that its disks take for one, and paths longer than old programs could use.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bosc_tests::peers::write_deployment;
use bosc_tests::process::run;
use bosc_tests::team::refused;

use crate::stand::{ELSEWHERE, Stand, same_contents};

/// A drive with these files, staged on Linux, in a store that both programs use.
fn drive(stand: &Stand, number: usize, names: &[&str]) -> Result<(String, String)> {
    let name = format!("tree-{number}");
    let folder = stand.place.home.join(&name);
    let bundle = write_deployment(&folder, "Cool", "1.0.0", ELSEWHERE)?;
    fs::remove_file(bundle.join("link"))?;
    for name in names {
        let file = bundle.join(name);
        fs::create_dir_all(file.parent().context("no folder")?)?;
        fs::write(&file, *name).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let link = run(&mut stand.linux("store", &["touch"]))?.trim().to_owned();
    run(&mut stand.linux("store", &["stage", &link, &name]))?;
    Ok((link, name))
}

#[test]
fn what_windows_cannot_hold_is_refused_before_anything_is_written() -> Result<()> {
    let Some(stand) = Stand::new("wine-names-refused")? else {
        return Ok(());
    };
    let all: [(&[&str], &str); 9] = [
        (&["CON"], "device"),
        (&["sub/NUL.txt"], "device"),
        (&["com1.log"], "device"),
        (&["dot."], "dot or space"),
        (&["space "], "dot or space"),
        (&["a:b"], "':'"),
        (&["what?"], "'?'"),
        (&["Readme", "README"], "may not tell it from"),
        (&["caf\u{e9}", "cafe\u{301}"], "may not tell it from"),
    ];
    for (number, (names, word)) in all.into_iter().enumerate() {
        let (link, _) = drive(&stand, number, names)?;
        let out = format!("out-{number}");
        let said = refused(&mut stand.windows("store", &["dump", &link, &out]))?;
        ensure!(
            said.contains(word) && said.contains("is refused") && said.contains("rename"),
            "{names:?}: {said}"
        );
        ensure!(
            files(&stand.place.home.join(&out))? == 0,
            "{names:?}: something was written"
        );
        run(&mut stand.linux("store", &["dump", &link, &format!("linux-{number}")]))?;
    }
    Ok(())
}

#[test]
fn what_windows_can_hold_is_written_under_its_name() -> Result<()> {
    let Some(stand) = Stand::new("wine-names-written")? else {
        return Ok(());
    };
    let deep = format!(
        "{}/end",
        ["a folder with a name of forty characters"; 8].join("/")
    );
    let wide = "w".repeat(200);
    let names = [
        "caf\u{e9}",
        "sub/cafe\u{301} 2",
        "\u{65e5}\u{672c}\u{8a9e}",
        "\u{1f600}",
        "console.txt",
        "com10",
        ".hidden",
        "a b",
        deep.as_str(),
        wide.as_str(),
    ];
    ensure!(deep.len() > 260, "the path is too short to show anything");
    let (link, tree) = drive(&stand, 0, &names)?;
    run(&mut stand.windows("store", &["dump", &link, "out"]))?;
    let home = &stand.place.home;
    same_contents(&home.join(&tree), &home.join("out"))?;
    // And back: what Windows lists is what was there.
    let again = stand.touch_windows("store")?;
    run(&mut stand.windows("store", &["stage", &again, "out"]))?;
    run(&mut stand.linux("store", &["dump", &again, "back"]))?;
    same_contents(&home.join(&tree), &home.join("back"))
}

/// Files in a folder, at any depth; none if there is no folder.
fn files(folder: &Path) -> Result<usize> {
    let mut count = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        if !next.is_dir() {
            continue;
        }
        for entry in fs::read_dir(next)? {
            let path = entry?.path();
            count += usize::from(!path.is_dir());
            folders.extend(path.is_dir().then_some(path));
        }
    }
    Ok(count)
}
