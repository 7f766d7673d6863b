//! Updates and starts, interrupted at every step: there is always a whole bundle in place.

mod beside;

use std::fs;

use app::fit;

use super::*;

/// [`super::apply`] on what lies at `staged` now.
fn apply(dir: &Path, installed: &Path, staged: &Path, from: &str, to: &str) -> Result<(), ApplyError> {
    super::apply(dir, installed, &Staged::seal(staged).unwrap(), from, to)
}

struct Home {
    _temp: tempfile::TempDir,
    dir: PathBuf,
    installed: PathBuf,
    staged: PathBuf,
}

fn bundle(path: &Path, version: &str) {
    fs::create_dir_all(path.join("resources/app")).unwrap();
    let package = format!("{{\"version\":\"{version}\"}}");
    fs::write(path.join("resources/app/package.json"), package).unwrap();
    program(path, &format!("echo 'bosc: ready' # {version}"));
}

/// Gives a bundle the program of this script.
fn program(bundle: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = bundle.join("App");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn version_at(path: &Path) -> String {
    let version = fit::version_of(path).unwrap();
    let program = fs::read_to_string(path.join("App")).unwrap();
    assert!(program.ends_with(&format!("# {version}\n")), "{program}");
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
    note.begin_exchange("1.0.0", "2.0.0", &home.staged, &kept);
    note.save(&home.dir).unwrap();
}

fn start(home: &Home) -> Decision {
    Startup::begin(&home.dir, &home.installed)
}

/// What goes on of a start that does.
fn ran(decision: Decision) -> Startup {
    match decision {
        Decision::Run(startup) => startup,
        other => panic!("{other:?}"),
    }
}

/// That a start took 2.0.0 back.
fn taken_back(decision: Decision) {
    match decision {
        Decision::RolledBack { from, to } => assert_eq!((from.as_str(), to.as_str()), ("2.0.0", "1.0.0")),
        Decision::Run(_) => panic!("2.0.0 is not taken back"),
    }
}

/// A start that goes on.
fn runs(home: &Home) -> Startup {
    ran(start(home))
}

/// A start that takes 2.0.0 back.
fn takes_back(home: &Home) {
    taken_back(start(home));
}

#[test]
fn an_update_that_starts_well_stays() {
    let home = home();
    apply(&home.dir, &home.installed, &home.staged, "1.0.0", "2.0.0").unwrap();
    assert_eq!(version_at(&home.installed), "2.0.0");
    assert!(!home.staged.exists());
    let kept = previous(&home.dir, &home.installed);
    assert_eq!(version_at(&kept), "1.0.0");
    runs(&home).started_well();
    assert!(!kept.exists());
    for _ in 0..5 {
        runs(&home);
    }
}

#[test]
fn a_version_that_does_not_start_is_taken_back_and_remembered() {
    let home = home();
    apply(&home.dir, &home.installed, &home.staged, "1.0.0", "2.0.0").unwrap();
    runs(&home).failed();
    runs(&home).failed();
    takes_back(&home);
    assert_eq!(version_at(&home.installed), "1.0.0");
    assert!(Note::load(&home.dir).is_bad("2.0.0") && !Note::load(&home.dir).is_bad("2.0.1"));
    runs(&home);
}

#[test]
fn a_stop_between_the_note_and_the_exchange_changes_nothing() {
    let home = home();
    write_note(&home);
    for _ in 0..4 {
        runs(&home);
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
        runs(&home).failed();
        // As the updater does at each start.
        fs::remove_dir_all(home.dir.join("pear-runtime/next")).ok();
    });
    takes_back(&home);
    assert_eq!(version_at(&home.installed), "1.0.0");
}

#[test]
fn a_stop_while_taking_back_is_made_up_for() {
    let home = home();
    apply(&home.dir, &home.installed, &home.staged, "1.0.0", "2.0.0").unwrap();
    (0..2).for_each(|_| runs(&home).failed());
    // Stopped after the swap back, before the note was cleared: the old version runs and clears it.
    exchange::exchange(&previous(&home.dir, &home.installed), &home.installed).unwrap();
    runs(&home);
    assert_eq!(version_at(&home.installed), "1.0.0");
    runs(&home);
}

#[test]
fn an_old_bundle_that_stayed_beside_the_app_goes_when_the_new_one_starts_well() {
    let home = home();
    let beside = exchange::copy_beside(&home.staged, &home.installed).unwrap();
    let mut note = Note::default();
    // Nothing can be moved to a place beneath a file.
    fs::write(home.dir.join("blocked"), "").unwrap();
    note.begin_exchange("1.0.0", "2.0.0", &beside, &home.dir.join("blocked/App"));
    note.save(&home.dir).unwrap();
    exchange::exchange(&beside, &home.installed).unwrap();
    runs(&home).started_well();
    assert!(!beside.exists());
    assert_eq!(version_at(&home.installed), "2.0.0");
}

#[test]
fn a_damaged_note_does_not_keep_the_app_from_starting() {
    let home = home();
    fs::create_dir_all(home.dir.join("pear-runtime")).unwrap();
    fs::write(home.dir.join("pear-runtime/bundle.json"), b"{\"update\": 7").unwrap();
    runs(&home);
}

#[test]
fn a_bundle_on_another_file_system_is_copied_beside_first() {
    let home = home();
    let copy = exchange::copy_beside(&home.staged, &home.installed).unwrap();
    assert_eq!(version_at(&copy), "2.0.0");
    assert!(copy.starts_with(home.installed.parent().unwrap()));
    // The program in it is found by the bundle's name.
    assert_eq!(copy.file_name(), home.installed.file_name());
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

#[test]
fn a_spoilt_package_json_does_not_keep_starts_from_being_counted() {
    for spoilt in ["{\"version\": ", "{}", "{\"version\":7}", ""] {
        let home = home();
        apply(&home.dir, &home.installed, &home.staged, "1.0.0", "2.0.0").unwrap();
        let package = home.installed.join("resources/app/package.json");
        fs::write(&package, spoilt).unwrap();
        runs(&home).failed();
        fs::remove_file(&package).unwrap();
        runs(&home).failed();
        takes_back(&home);
        assert_eq!(version_at(&home.installed), "1.0.0");
    }
}

#[test]
fn another_version_that_a_person_put_there_is_not_on_trial() {
    let home = home();
    apply(&home.dir, &home.installed, &home.staged, "1.0.0", "2.0.0").unwrap();
    runs(&home);
    // Unpacked over it: the folder is the same one.
    bundle(&home.installed, "2.0.1");
    (0..5).for_each(|_| drop(runs(&home)));
    assert_eq!(version_at(&home.installed), "2.0.1");

    let home = self::home();
    apply(&home.dir, &home.installed, &home.staged, "1.0.0", "2.0.0").unwrap();
    runs(&home);
    // Put in its place: another folder.
    fs::rename(&home.installed, home.installed.with_file_name("Old")).unwrap();
    bundle(&home.installed, "2.0.0");
    (0..5).for_each(|_| drop(runs(&home)));
    assert_eq!(version_at(&home.installed), "2.0.0");
}

#[test]
fn a_program_that_cannot_run_does_not_get_in() {
    let home = home();
    program(&home.staged, "exit 3 # 2.0.0");
    let error = apply(&home.dir, &home.installed, &home.staged, "1.0.0", "2.0.0").unwrap_err();
    assert!(matches!(error, ApplyError::CannotRun { .. }), "{error}");
    assert!(error.to_string().contains("exit status: 3"), "{error}");
    assert_eq!(version_at(&home.installed), "1.0.0");
    assert!(Note::load(&home.dir).is_bad("2.0.0"));
    (0..5).for_each(|_| drop(runs(&home)));
    assert_eq!(version_at(&home.installed), "1.0.0");
}

fn updated() -> Home {
    let home = home();
    apply(&home.dir, &home.installed, &home.staged, "1.0.0", "2.0.0").unwrap();
    home
}

#[test]
fn a_good_version_that_is_killed_before_its_window_is_there_stays() {
    let home = updated();
    // Nobody says how these starts went.
    (0..3).for_each(|_| drop(runs(&home)));
    runs(&home).started_well();
    (0..9).for_each(|_| drop(runs(&home)));
    assert_eq!(version_at(&home.installed), "2.0.0");
    assert!(!Note::load(&home.dir).is_bad("2.0.0"));
}

#[test]
fn a_version_that_only_ever_disappears_is_taken_back() {
    let home = updated();
    (0..4).for_each(|_| drop(runs(&home)));
    takes_back(&home);

    // One that failed for certain in between needs fewer.
    let home = updated();
    drop(runs(&home));
    runs(&home).failed();
    drop(runs(&home));
    takes_back(&home);
}

#[test]
fn starts_without_a_display_or_ended_by_a_person_are_not_counted() {
    let home = updated();
    (0..20).for_each(|_| runs(&home).not_tried());
    assert_eq!(version_at(&home.installed), "2.0.0");
    runs(&home).failed();
    runs(&home).failed();
    takes_back(&home);
}

#[test]
fn a_start_counts_once_and_a_slow_one_that_comes_up_stays() {
    let home = updated();
    let startup = runs(&home);
    (0..9).for_each(|_| startup.failed());
    startup.clone().not_tried();
    let startup = runs(&home);
    startup.failed();
    // Long overdue, but there it is.
    startup.started_well();
    (0..9).for_each(|_| drop(runs(&home)));
    assert_eq!(version_at(&home.installed), "2.0.0");
}

#[test]
fn what_is_said_of_a_start_does_not_count_for_the_version_it_installed() {
    let home = updated();
    let startup = runs(&home);
    bundle(&home.staged, "3.0.0");
    apply(&home.dir, &home.installed, &home.staged, "2.0.0", "3.0.0").unwrap();
    startup.failed();
    startup.started_well();
    let kept = previous(&home.dir, &home.installed);
    assert_eq!(version_at(&kept), "2.0.0", "the version to go back to is gone");
    runs(&home).failed();
    runs(&home).failed();
    assert!(matches!(start(&home), Decision::RolledBack { .. }));
    assert_eq!(version_at(&home.installed), "2.0.0");
}

#[test]
fn no_instance_goes_back_behind_another() {
    let home = home();
    // Two instances with data folders of their own: one staged 2.0.0, the other has put 3.0.0 in place.
    let other = home.dir.with_file_name("other");
    let staged = other.join("pear-runtime/next/12.0/App");
    bundle(&staged, "3.0.0");
    apply(&other, &home.installed, &staged, "1.0.0", "3.0.0").unwrap();
    let error = apply(&home.dir, &home.installed, &home.staged, "1.0.0", "2.0.0").unwrap_err();
    assert!(matches!(error, ApplyError::NotNewer { .. }), "{error}");
    assert!(
        error.to_string().contains("holds version 3.0.0 already"),
        "{error}"
    );
    assert_eq!(version_at(&home.installed), "3.0.0");
    assert_eq!(version_at(&home.staged), "2.0.0");
}

#[test]
fn a_bundle_that_is_one_file_has_a_version_too() {
    let home = home();
    let image = |path: &Path, text: &str| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        bundle(&path.with_file_name("Made"), text);
        fs::rename(path.with_file_name("Made").join("App"), path).unwrap();
    };
    let installed = home.installed.with_file_name("App.AppImage");
    let staged = home.dir.join("pear-runtime/next/9.0/App.AppImage");
    let later = home.dir.join("pear-runtime/next/12.0/App.AppImage");
    image(&installed, "1.0.0");
    image(&staged, "2.0.0");
    image(&later, "3.0.0");
    apply(&home.dir, &installed, &later, "1.0.0", "3.0.0").unwrap();
    let error = apply(&home.dir, &installed, &staged, "1.0.0", "2.0.0").unwrap_err();
    assert!(matches!(error, ApplyError::NotNewer { .. }), "{error}");
}

#[test]
fn a_swap_waits_for_the_one_that_is_under_way() {
    let home = home();
    let lock = BundleLock::take(&home.installed, Duration::ZERO)
        .unwrap()
        .unwrap();
    assert!(
        BundleLock::take(&home.installed, Duration::ZERO)
            .unwrap()
            .is_none()
    );
    let release = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        drop(lock);
    });
    let started = std::time::Instant::now();
    apply(&home.dir, &home.installed, &home.staged, "1.0.0", "2.0.0").unwrap();
    assert!(started.elapsed() > Duration::from_millis(200));
    release.join().unwrap();
}

#[test]
fn a_packages_bundle_is_copied_once_and_again_when_it_is_newer() {
    let home = home();
    let packaged = home.dir.with_file_name("usr").join("App");
    let copy = home.dir.with_file_name("share").join("app/App");
    let marked = |version: &str| {
        let _ = fs::remove_dir_all(&packaged);
        bundle(&packaged, version);
        fs::write(packaged.join(app::layout::PACKAGED), "deb\n").unwrap();
    };
    let now = || copy_packaged(&home.dir, &packaged, &copy).unwrap();
    marked("1.0.0");
    assert_eq!(now(), Copied::New);
    assert_eq!(version_at(&copy), "1.0.0");
    assert!(
        !copy.join(app::layout::PACKAGED).exists(),
        "the copy updates itself"
    );
    assert_eq!(now(), Copied::Kept);

    // It updated itself, and then the package came after it.
    bundle(&copy, "1.0.2");
    marked("1.0.1");
    assert_eq!(now(), Copied::Kept);
    assert_eq!(version_at(&copy), "1.0.2");
    marked("1.0.3");
    assert_eq!(now(), Copied::New);
    assert_eq!(version_at(&copy), "1.0.3");
    let beside: Vec<_> = fs::read_dir(copy.parent().unwrap()).unwrap().flatten().collect();
    assert_eq!(beside.len(), 2, "the copy and its lock: {beside:?}");

    // A version that did not start here does not come back by the package.
    let mut note = Note::default();
    note.remember_bad("2.0.0");
    note.save(&home.dir).unwrap();
    marked("2.0.0");
    assert_eq!(now(), Copied::Kept);
    assert_eq!(version_at(&copy), "1.0.3");
    // Unless there is no other.
    fs::remove_file(copy.join("App")).unwrap();
    assert_eq!(now(), Copied::New);
    assert_eq!(version_at(&copy), "2.0.0");
}

#[test]
fn a_packages_bundle_that_cannot_be_copied_leaves_what_was_there() {
    let home = home();
    let packaged = home.dir.with_file_name("usr").join("App");
    let copy = home.dir.with_file_name("share").join("app/App");
    bundle(&packaged, "1.0.0");
    copy_packaged(&home.dir, &packaged, &copy).unwrap();
    fs::write(packaged.join("resources/app/package.json"), "{").unwrap();
    let error = copy_packaged(&home.dir, &packaged, &copy)
        .unwrap_err()
        .to_string();
    assert!(error.contains("package.json"), "{error}");
    assert_eq!(version_at(&copy), "1.0.0");
    // A file where the folder of the copy should be.
    fs::write(home.dir.with_file_name("blocked"), "").unwrap();
    bundle(&packaged, "1.0.1");
    copy_packaged(
        &home.dir,
        &packaged,
        &home.dir.with_file_name("blocked").join("App"),
    )
    .unwrap_err();
}
