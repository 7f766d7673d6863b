//! Updates and starts, interrupted at every step: there is always a whole bundle in place.

use std::fs;

use super::*;

struct Home {
    _temp: tempfile::TempDir,
    dir: PathBuf,
    installed: PathBuf,
    staged: PathBuf,
}

fn bundle(path: &Path, version: &str) {
    fs::create_dir_all(path.join("resources/app")).unwrap();
    fs::write(path.join("resources/app/package.json"), version).unwrap();
    fs::write(path.join("App"), format!("program of {version}")).unwrap();
}

fn version_at(path: &Path) -> String {
    let version = fs::read_to_string(path.join("resources/app/package.json")).unwrap();
    assert_eq!(
        fs::read_to_string(path.join("App")).unwrap(),
        format!("program of {version}")
    );
    version
}

fn home() -> Home {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data");
    let installed = temp.path().join("apps/App");
    let staged = dir.join("pear-runtime/next/9.0/by-arch/linux-x64/app/App");
    bundle(&installed, "1.0.0");
    bundle(&staged, "2.0.0");
    Home {
        _temp: temp,
        dir,
        installed,
        staged,
    }
}

/// The note that [`apply`] writes before it exchanges the bundles.
fn write_note(home: &Home) {
    let mut note = Note::default();
    let kept = previous(&home.dir, &home.installed);
    note.begin_update("1.0.0", "2.0.0", &home.staged, &kept);
    note.save(&home.dir).unwrap();
}

fn start(home: &Home) -> (Startup, Decision) {
    Startup::begin(&home.dir, &home.installed, &version_at(&home.installed))
}

#[test]
fn an_update_that_starts_well_stays() {
    let home = home();
    apply(&home.dir, &home.installed, &home.staged, "1.0.0", "2.0.0").unwrap();
    assert_eq!(version_at(&home.installed), "2.0.0");
    assert!(!home.staged.exists());
    let kept = previous(&home.dir, &home.installed);
    assert_eq!(version_at(&kept), "1.0.0");
    let (startup, decision) = start(&home);
    assert_eq!(decision, Decision::Run);
    startup.started_well();
    assert!(!kept.exists());
    for _ in 0..5 {
        assert_eq!(start(&home).1, Decision::Run);
    }
}

#[test]
fn a_version_that_does_not_start_is_taken_back_and_remembered() {
    let home = home();
    apply(&home.dir, &home.installed, &home.staged, "1.0.0", "2.0.0").unwrap();
    assert_eq!(start(&home).1, Decision::Run);
    assert_eq!(start(&home).1, Decision::Run);
    let expected = Decision::RolledBack {
        from: "2.0.0".into(),
        to: "1.0.0".into(),
    };
    assert_eq!(start(&home).1, expected);
    assert_eq!(version_at(&home.installed), "1.0.0");
    assert!(Note::load(&home.dir).is_bad("2.0.0") && !Note::load(&home.dir).is_bad("2.0.1"));
    assert_eq!(start(&home).1, Decision::Run);
}

#[test]
fn a_stop_between_the_note_and_the_exchange_changes_nothing() {
    let home = home();
    write_note(&home);
    for _ in 0..4 {
        assert_eq!(start(&home).1, Decision::Run);
    }
    assert_eq!(version_at(&home.installed), "1.0.0");
    assert_eq!(Note::load(&home.dir), Note::default());
}

#[test]
fn a_stop_right_after_the_exchange_can_still_be_taken_back() {
    let home = home();
    write_note(&home);
    exchange::exchange(&home.staged, &home.installed).unwrap();
    (0..2).for_each(|_| {
        assert_eq!(start(&home).1, Decision::Run);
        // As the updater does at each start.
        fs::remove_dir_all(home.dir.join("pear-runtime/next")).ok();
    });
    assert!(matches!(start(&home).1, Decision::RolledBack { .. }));
    assert_eq!(version_at(&home.installed), "1.0.0");
}

#[test]
fn a_stop_while_taking_back_is_made_up_for() {
    let home = home();
    apply(&home.dir, &home.installed, &home.staged, "1.0.0", "2.0.0").unwrap();
    (0..2).for_each(|_| {
        start(&home);
    });
    // Stopped after the swap back, before the note was cleared: the old version runs and clears it.
    exchange::exchange(&previous(&home.dir, &home.installed), &home.installed).unwrap();
    assert_eq!(start(&home).1, Decision::Run);
    assert_eq!(version_at(&home.installed), "1.0.0");
    assert_eq!(start(&home).1, Decision::Run);
}

#[test]
fn an_old_bundle_that_stayed_beside_the_app_goes_when_the_new_one_starts_well() {
    let home = home();
    let beside = exchange::copy_beside(&home.staged, &home.installed).unwrap();
    let mut note = Note::default();
    // Nothing can be moved to a place beneath a file.
    fs::write(home.dir.join("blocked"), "").unwrap();
    note.begin_update("1.0.0", "2.0.0", &beside, &home.dir.join("blocked/App"));
    note.save(&home.dir).unwrap();
    exchange::exchange(&beside, &home.installed).unwrap();
    let (startup, decision) = start(&home);
    assert_eq!(decision, Decision::Run);
    startup.started_well();
    assert!(!beside.exists());
    assert_eq!(version_at(&home.installed), "2.0.0");
}

#[test]
fn a_damaged_note_does_not_keep_the_app_from_starting() {
    let home = home();
    fs::create_dir_all(home.dir.join("pear-runtime")).unwrap();
    fs::write(home.dir.join("pear-runtime/bundle.json"), b"{\"update\": 7").unwrap();
    assert_eq!(start(&home).1, Decision::Run);
}

#[test]
fn a_bundle_on_another_file_system_is_copied_beside_first() {
    let home = home();
    let copy = exchange::copy_beside(&home.staged, &home.installed).unwrap();
    assert_eq!(version_at(&copy), "2.0.0");
    assert_eq!(copy.parent(), home.installed.parent());
}

#[test]
fn what_cannot_be_replaced_is_left_alone() {
    let home = home();
    let gone = home.installed.with_file_name("Gone");
    assert!(matches!(
        apply(&home.dir, &gone, &home.staged, "1.0.0", "2.0.0"),
        Err(ApplyError::Io { .. })
    ));
    assert_eq!(version_at(&home.staged), "2.0.0");
    assert_eq!(version_at(&home.installed), "1.0.0");
}
