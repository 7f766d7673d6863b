//! Mirrors between folders and drives, there and back.

mod support;

use std::path::Path;
use std::sync::Arc;

use futures::TryStreamExt;
use hyperdrive::{
    DiffOp, Drive, Entry, Hyperdrive, LocalDrive, LocalOptions, Meter, MirrorOptions, PutOptions, mirror,
};
use proptest::prelude::*;

use support::{contents, memory_drive, noise, sync};

fn write(root: &Path, name: &str, content: &[u8]) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
    std::fs::write(path, content).expect("file");
}

/// Makes a link, as the system does it.
fn link(goal: impl AsRef<Path>, at: impl AsRef<Path>) {
    #[cfg(unix)]
    let made = std::os::unix::fs::symlink(goal, at);
    #[cfg(windows)]
    let made = if goal.as_ref().is_dir() {
        std::os::windows::fs::symlink_dir(goal, at)
    } else {
        std::os::windows::fs::symlink_file(goal, at)
    };
    made.expect("link");
}

/// Says of a file whether it is to be run, where the disk keeps that.
fn set_executable(path: &Path, executable: bool) {
    #[cfg(unix)]
    {
        let mode = if executable { 0o755 } else { 0o644 };
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path, mode).expect("mode");
    }
    #[cfg(not(unix))]
    let _ = (path, executable);
}

fn staged() -> MirrorOptions {
    MirrorOptions {
        batch: true,
        dedup: true,
        ..MirrorOptions::default()
    }
}

#[tokio::test]
async fn a_mirror_without_changes_leaves_the_length() {
    let folder = tempfile::tempdir().expect("folder");
    write(folder.path(), "a.txt", b"one");
    write(folder.path(), "dir/b.bin", &noise(1, 700_000));
    link("../a.txt", folder.path().join("dir/link"));
    let (local, drive) = (LocalDrive::new(folder.path()), memory_drive("noop").await);
    assert_eq!(sync(&local, &drive, staged()).await, 3);
    let (length, blobs) = (
        drive.core().length(),
        drive.blobs().await.expect("blobs").length(),
    );
    for options in [
        staged(),
        MirrorOptions::default(),
        MirrorOptions {
            dry_run: true,
            ..staged()
        },
    ] {
        assert_eq!(sync(&local, &drive, options).await, 0);
        assert_eq!(
            (
                drive.core().length(),
                drive.blobs().await.expect("blobs").length()
            ),
            (length, blobs)
        );
    }
}

#[tokio::test]
async fn every_change_is_told_however_many_come_at_once() {
    const FILES: usize = 1000;
    let folder = tempfile::tempdir().expect("folder");
    for number in 0..FILES {
        write(folder.path(), &format!("{number}"), b"x");
    }
    let (local, drive) = (LocalDrive::new(folder.path()), memory_drive("many").await);
    sync(&local, &drive, staged()).await;
    let empty = memory_drive("empty").await;
    let options = MirrorOptions {
        dry_run: true,
        ..MirrorOptions::default()
    };
    let mut run = mirror(&drive, &empty, options);
    let mut told = 0;
    while run.try_next().await.expect("mirror").is_some() {
        told += 1;
    }
    assert_eq!((told, run.totals().add), (FILES, FILES as u64));
}

#[tokio::test]
async fn a_meter_counts_each_byte_of_the_source_once() {
    let (folder, out) = (
        tempfile::tempdir().expect("folder"),
        tempfile::tempdir().expect("out"),
    );
    write(folder.path(), "a", b"12345");
    write(folder.path(), "big", &noise(2, 700_000));
    write(folder.path(), "same", b"1234567");
    link("a", folder.path().join("link"));
    let (local, drive) = (LocalDrive::new(folder.path()), memory_drive("meter").await);
    let counted = |options: MirrorOptions| {
        let meter = Arc::new(Meter::default());
        let with = MirrorOptions {
            meter: Some(meter.clone()),
            ..options
        };
        (meter, with)
    };
    let all = |meter: &Meter| assert_eq!((meter.done(), meter.total()), (700_012, Some(700_012)));
    for changed in ["", "6"] {
        write(
            folder.path(),
            "a",
            format!("1234{}", if changed.is_empty() { "5" } else { changed }).as_bytes(),
        );
        for (dry_run, options) in [(true, staged()), (false, staged())] {
            let (meter, options) = counted(MirrorOptions { dry_run, ..options });
            assert_eq!(meter.total(), None);
            sync(&local, &drive, options).await;
            all(&meter);
        }
        let (meter, options) = counted(MirrorOptions::default());
        sync(&drive, &LocalDrive::new(out.path()), options).await;
        all(&meter);
    }
}

#[tokio::test]
async fn changes_are_told_with_their_bytes() {
    let folder = tempfile::tempdir().expect("folder");
    for (name, content) in [
        ("a", &b"12345"[..]),
        ("b", b"1234567"),
        ("c", b""),
        ("z/y/x", b"12"),
    ] {
        write(folder.path(), name, content);
    }
    let (local, drive) = (LocalDrive::new(folder.path()), memory_drive("bytes").await);
    sync(&local, &drive, staged()).await;
    write(folder.path(), "a", b"123456789");
    write(folder.path(), "d", b"1");
    std::fs::remove_file(folder.path().join("b")).expect("remove");
    std::fs::remove_dir_all(folder.path().join("z")).expect("remove");
    let dry: Vec<_> = mirror(
        &local,
        &drive,
        MirrorOptions {
            dry_run: true,
            ..staged()
        },
    )
    .try_collect()
    .await
    .expect("dry");
    let before = drive.core().length();
    let mut run = mirror(&local, &drive, staged());
    let mut real = Vec::new();
    while let Some(diff) = run.try_next().await.expect("mirror") {
        real.push(diff);
    }
    let totals = run.totals();
    let told: Vec<_> = real
        .iter()
        .map(|d| (d.op, d.key.as_str(), d.bytes_added, d.bytes_removed))
        .collect();
    let expected = [
        (DiffOp::Remove, "/b", 0, 7),
        (DiffOp::Remove, "/z/y/x", 0, 2),
        (DiffOp::Change, "/a", 9, 5),
        (DiffOp::Add, "/d", 1, 0),
    ];
    assert_eq!(told, expected);
    assert_eq!(dry, real, "a dry run tells the same");
    assert_eq!(
        (totals.files, totals.add, totals.change, totals.remove),
        (3, 1, 1, 2)
    );
    assert_eq!((totals.bytes_added, totals.bytes_removed), (10, 14));
    assert_eq!(drive.core().length(), before + 4, "a block for each change");
}

#[tokio::test]
async fn a_batch_is_seen_as_a_whole() {
    let folder = tempfile::tempdir().expect("folder");
    write(folder.path(), "a", b"1");
    write(folder.path(), "b", b"2");
    let (local, drive) = (LocalDrive::new(folder.path()), memory_drive("batch").await);
    let mut run = mirror(&local, &drive, staged());
    assert!(run.try_next().await.expect("mirror").is_some());
    drop(run);
    assert_eq!(
        drive.core().length(),
        0,
        "a mirror that was dropped leaves nothing behind"
    );
    sync(&local, &drive, staged()).await;
    assert_eq!(drive.list("/").await.expect("list").len(), 2);
}

#[tokio::test]
async fn an_insertion_into_a_large_file_stores_little() {
    let folder = tempfile::tempdir().expect("folder");
    let before = noise(2, 6 << 20);
    write(folder.path(), "big", &before);
    let (local, drive) = (LocalDrive::new(folder.path()), memory_drive("delta").await);
    sync(&local, &drive, staged()).await;
    let bytes = drive.blobs().await.expect("blobs").byte_length();
    assert!(bytes < (6 << 20) + 10_000, "{bytes}");
    let mut after = before.clone();
    after.splice(3_000_000..3_000_000, noise(3, 1024));
    write(folder.path(), "big", &after);
    write(folder.path(), "copy", &before);
    sync(&local, &drive, staged()).await;
    let stored = drive.blobs().await.expect("blobs").byte_length() - bytes;
    assert!(stored < 250_000, "{stored} bytes stored");
    assert_eq!(drive.get("/big").await.expect("get").expect("content"), after);
    assert_eq!(drive.get("/copy").await.expect("get").expect("content"), before);
    assert!(drive.has("/").await.expect("has"));
}

#[cfg(unix)]
#[tokio::test]
async fn flags_change_without_the_content() {
    use std::os::unix::fs::PermissionsExt;
    let (one, two) = (
        tempfile::tempdir().expect("folder"),
        tempfile::tempdir().expect("folder"),
    );
    write(one.path(), "run", b"#!/bin/sh");
    let (local, drive) = (LocalDrive::new(one.path()), memory_drive("flags").await);
    let copy = LocalDrive::new(two.path());
    sync(&local, &drive, staged()).await;
    sync(&drive, &copy, MirrorOptions::default()).await;
    let blobs = drive.blobs().await.expect("blobs").length();
    for mode in [0o755, 0o644] {
        std::fs::set_permissions(one.path().join("run"), PermissionsExt::from_mode(mode)).expect("mode");
        let diff: Vec<_> = mirror(&local, &drive, staged())
            .try_collect()
            .await
            .expect("mirror");
        assert_eq!(
            (diff.len(), diff[0].op, diff[0].bytes_added),
            (1, DiffOp::Change, 0)
        );
        assert_eq!(sync(&drive, &copy, MirrorOptions::default()).await, 1);
        let found = std::fs::metadata(two.path().join("run"))
            .expect("file")
            .permissions()
            .mode();
        assert_eq!(found & 0o111 != 0, mode == 0o755);
    }
    assert_eq!(
        drive.blobs().await.expect("blobs").length(),
        blobs,
        "no content was written again"
    );
}

#[tokio::test]
async fn prune_only_and_ignore() {
    let (one, two) = (
        tempfile::tempdir().expect("folder"),
        tempfile::tempdir().expect("folder"),
    );
    for name in ["a/1", "a/2", "b/1", "node_modules/x", "package.json"] {
        write(one.path(), name, name.as_bytes());
    }
    for name in ["a/old", "b/old", "other", "node_modules/y"] {
        write(two.path(), name, name.as_bytes());
    }
    let (src, dst) = (LocalDrive::new(one.path()), LocalDrive::new(two.path()));
    let names = |found: support::Contents| found.into_keys().collect::<Vec<_>>();
    let owned = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    sync(
        &src,
        &dst,
        MirrorOptions {
            prefix: owned(&["/a"]),
            ..MirrorOptions::default()
        },
    )
    .await;
    assert_eq!(
        names(contents(&dst).await),
        ["/a/1", "/a/2", "/b/old", "/node_modules/y", "/other"]
    );
    sync(
        &src,
        &dst,
        MirrorOptions {
            only: owned(&["b", "package.json"]),
            ..MirrorOptions::default()
        },
    )
    .await;
    assert_eq!(
        names(contents(&dst).await),
        [
            "/a/1",
            "/a/2",
            "/b/1",
            "/node_modules/y",
            "/other",
            "/package.json"
        ]
    );
    sync(
        &src,
        &dst,
        MirrorOptions {
            prune: false,
            ..MirrorOptions::default()
        },
    )
    .await;
    assert!(contents(&dst).await.contains_key("/other"));
    sync(
        &src,
        &dst,
        MirrorOptions {
            ignore: owned(&["node_modules"]),
            ..MirrorOptions::default()
        },
    )
    .await;
    assert!(
        contents(&dst).await.contains_key("/node_modules/y") && !contents(&dst).await.contains_key("/other")
    );
    sync(&src, &dst, MirrorOptions::default()).await;
    assert_eq!(contents(&dst).await, contents(&src).await);
    assert!(!two.path().join("other").exists());
}

#[tokio::test]
async fn external_links_are_followed_when_asked() {
    let (inside, outside) = (
        tempfile::tempdir().expect("folder"),
        tempfile::tempdir().expect("folder"),
    );
    write(outside.path(), "lib/f", b"far");
    write(inside.path(), "near", b"near");
    link(outside.path().join("lib"), inside.path().join("lib"));
    link(outside.path().join("lib/f"), inside.path().join("f"));
    link("near", inside.path().join("n"));
    let links = LocalDrive::new(inside.path());
    let found = contents(&links).await;
    assert_eq!(found.keys().collect::<Vec<_>>(), ["/f", "/lib", "/n", "/near"]);
    assert_eq!(
        links.get("/lib/f").await.expect("get"),
        None,
        "nothing is read outside"
    );
    let follow = LocalDrive::with_options(
        inside.path(),
        LocalOptions {
            follow_external_links: true,
        },
    );
    let found = contents(&follow).await;
    assert_eq!(found.keys().collect::<Vec<_>>(), ["/f", "/lib/f", "/n", "/near"]);
    assert_eq!(found["/lib/f"].2, b"far");
    assert_eq!(found["/n"].1.as_deref(), Some("near"), "links inside stay links");
}

/// A drive with an entry that only a hostile program writes.
async fn hostile(key: &str, linkname: Option<&str>) -> Hyperdrive {
    let drive = memory_drive("hostile").await;
    drive
        .put("/fine", &b"fine"[..], PutOptions::default())
        .await
        .expect("put");
    let blob = drive.entry("/fine").await.expect("entry").expect("entry").blob;
    let value = match linkname {
        Some(link) => {
            serde_json::json!({ "executable": false, "linkname": link, "blob": null, "metadata": null })
        }
        None => {
            let blob = blob.expect("blob");
            serde_json::json!({ "executable": false, "linkname": null, "metadata": null, "blob": {
                "blockOffset": blob.block_offset, "byteOffset": 0, "blockLength": 1, "byteLength": blob.byte_length } })
        }
    };
    let stored = [b"files\0", key.as_bytes()].concat();
    drive
        .bee()
        .put(&stored, value.to_string().as_bytes())
        .await
        .expect("put");
    drive
}

#[tokio::test]
async fn hostile_entries_write_nothing_and_are_named() {
    let room = tempfile::tempdir().expect("folder");
    let secret = room.path().join("secret");
    std::fs::write(&secret, b"untouched").expect("file");
    let absolute = secret.display().to_string();
    for (key, link) in [
        ("/../secret", None),
        ("/a/../../secret", None),
        ("/./secret", None),
        ("//secret", None),
        ("/a\0b", None),
        ("/a\\..\\..\\secret", None),
        ("/link", Some("../secret")),
        ("/deep/link", Some("../../secret")),
        ("/fine/below", None),
    ] {
        let drive = hostile(key, link).await;
        let target = room.path().join("target");
        let result = mirror(&drive, &LocalDrive::new(&target), MirrorOptions::default())
            .finish()
            .await;
        let error = result.expect_err(key).to_string();
        assert!(
            error.contains(key.trim_matches('\0')) || error.contains("/a"),
            "{key:?}: {error}"
        );
        assert!(!target.exists(), "{key:?}: something was written");
        assert_eq!(std::fs::read(&secret).expect("file"), b"untouched");
    }
    // An absolute link starts at the drive's root, wherever that is.
    let drive = hostile("/link", Some(&absolute)).await;
    let target = room.path().join("absolute");
    sync(&drive, &LocalDrive::new(&target), MirrorOptions::default()).await;
    let link = std::fs::read_link(target.join("link")).expect("link");
    assert!(link.is_relative() && !link.starts_with(".."), "{link:?}");
}

#[tokio::test]
async fn links_already_in_the_folder_are_not_written_through() {
    let room = tempfile::tempdir().expect("folder");
    let (target, outside) = (room.path().join("target"), room.path().join("outside"));
    std::fs::create_dir_all(&outside).expect("folder");
    write(&outside, "file", b"untouched");
    std::fs::create_dir_all(&target).expect("folder");
    link(&outside, target.join("dir"));
    link(outside.join("file"), target.join("file"));
    let drive = memory_drive("through").await;
    drive
        .put("/dir/file", &b"new"[..], PutOptions::default())
        .await
        .expect("put");
    drive
        .put("/file", &b"new"[..], PutOptions::default())
        .await
        .expect("put");
    let local = LocalDrive::new(&target);
    let keep = MirrorOptions {
        prune: false,
        ..MirrorOptions::default()
    };
    let error = mirror(&drive, &local, keep)
        .finish()
        .await
        .expect_err("a link is in the way")
        .to_string();
    assert!(error.contains("/dir/file"), "{error}");
    sync(&drive, &local, MirrorOptions::default()).await;
    assert_eq!(std::fs::read(outside.join("file")).expect("file"), b"untouched");
    assert_eq!(std::fs::read(target.join("dir/file")).expect("file"), b"new");
    assert_eq!(std::fs::read(target.join("file")).expect("file"), b"new");
}

#[tokio::test]
async fn a_file_is_read_up_to_a_bound() {
    let drive = memory_drive("bound").await;
    let data = noise(5, 400_000);
    for (path, dedup) in [("/plain", false), ("/mapped", true)] {
        let options = PutOptions {
            dedup,
            ..PutOptions::default()
        };
        drive.put(path, data.clone(), options).await.expect("put");
        let whole = drive.get_at_most(path, 400_000).await.expect("read");
        assert_eq!(whole.as_deref(), Some(&data[..]));
        let error = drive.get_at_most(path, 399_999).await.expect_err("too large");
        assert!(error.to_string().contains(path), "{error}");
    }
    assert_eq!(drive.get_at_most("/none", 1).await.expect("read"), None);
}

#[tokio::test]
async fn ranges_of_a_file_are_read() {
    let drive = memory_drive("ranges").await;
    let data = noise(5, 400_000);
    for (path, dedup) in [("/plain", false), ("/mapped", true)] {
        drive
            .put(
                path,
                data.clone(),
                PutOptions {
                    dedup,
                    ..PutOptions::default()
                },
            )
            .await
            .expect("put");
        let entry: Entry = drive.entry(path).await.expect("entry").expect("entry");
        assert_eq!(entry.blob.expect("blob").block_map, dedup);
        for (start, length) in [
            (0, 10),
            (65_535, 2),
            (65_536, 65_536),
            (399_999, 10),
            (400_000, 5),
            (123_456, u64::MAX),
        ] {
            let parts: Vec<_> = drive
                .read_entry(&entry, start, length)
                .await
                .expect("read")
                .try_collect()
                .await
                .expect("read");
            let (start, end) = (start as usize, start.saturating_add(length).min(400_000) as usize);
            assert_eq!(
                parts.concat(),
                data[start..end.max(start)],
                "{path} {start} {length}"
            );
        }
    }
}

#[tokio::test]
async fn truncate_takes_the_contents_along() {
    let drive = memory_drive("truncate").await;
    drive
        .put("/a", noise(1, 200_000), PutOptions::default())
        .await
        .expect("put");
    let (version, blobs) = (drive.version(), drive.blobs().await.expect("blobs").length());
    drive
        .put("/b", noise(2, 200_000), PutOptions::default())
        .await
        .expect("put");
    drive.truncate(version, None).await.expect("truncate");
    assert_eq!(
        (
            drive.version(),
            drive.blobs().await.expect("blobs").length(),
            drive.fork()
        ),
        (version, blobs, 1)
    );
    assert_eq!(drive.list("/").await.expect("list").len(), 1);
    drive
        .put("/c", noise(3, 10), PutOptions::default())
        .await
        .expect("put");
    assert_eq!(
        drive.get("/c").await.expect("get").expect("content"),
        noise(3, 10)
    );
}

/// Some files and links; each name stands for at most one of them.
fn tree() -> impl Strategy<Value = Vec<(String, bool, Option<String>, Vec<u8>)>> {
    let name = "[a-c]{1,2}(/[d-f.é ]{1,2}){0,2}";
    let file = (
        name,
        any::<bool>(),
        prop::option::weighted(0.2, "[a-c]{1,3}"),
        prop::collection::vec(any::<u8>(), 0..40),
        0usize..5,
    );
    prop::collection::vec(file, 0..12).prop_map(|files| {
        let mut kept: Vec<(String, bool, Option<String>, Vec<u8>)> = Vec::new();
        for (name, executable, link, content, times) in files {
            let clash = |other: &str| {
                other == name
                    || other.starts_with(&format!("{name}/"))
                    || name.starts_with(&format!("{other}/"))
            };
            let odd = name.split('/').any(|part| part.chars().all(|char| char == '.'));
            if !odd && !kept.iter().any(|(other, ..)| clash(other)) {
                kept.push((name, executable, link, content.repeat(1 + times * 3000)));
            }
        }
        kept
    })
}

fn build(root: &Path, tree: &[(String, bool, Option<String>, Vec<u8>)]) {
    std::fs::create_dir_all(root).expect("folder");
    for (name, executable, goal, content) in tree {
        match goal {
            Some(goal) => {
                std::fs::create_dir_all(root.join(name).parent().expect("parent")).expect("folder");
                link(goal, root.join(name));
            }
            None => {
                write(root, name, content);
                set_executable(&root.join(name), *executable);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.div_ceil(10)))]
    #[test]
    fn there_and_back_is_equal(first in tree(), second in tree(), dedup in any::<bool>(), batch in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("runtime");
        runtime.block_on(async {
            let room = tempfile::tempdir().expect("folder");
            let (drive, back) = (memory_drive("there").await, LocalDrive::new(room.path().join("back")));
            let copy = memory_drive("copy").await;
            let options = MirrorOptions { batch, dedup, ..MirrorOptions::default() };
            for (name, tree) in [("one", &first), ("two", &second)] {
                let root = room.path().join(name);
                build(&root, tree);
                let src = LocalDrive::new(&root);
                sync(&src, &drive, options.clone()).await;
                sync(&drive, &copy, options.clone()).await;
                sync(&copy, &back, MirrorOptions::default()).await;
                let expected = contents(&src).await;
                assert_eq!(contents(&drive).await, expected);
                assert_eq!(contents(&copy).await, expected);
                assert_eq!(contents(&back).await, expected);
                let length = drive.core().length();
                assert_eq!(sync(&back, &drive, options.clone()).await, 0, "the way back changes nothing");
                assert_eq!(drive.core().length(), length);
            }
        });
    }
}
