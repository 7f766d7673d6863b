//! Updates and starts where versions lie beside each other, as on Windows, interrupted at every step: the pointer always names a
//! whole version, and nothing is left after the next good start.

use app::Versions;

use super::*;

fn apply(home: &Home, from: &str, to: &str) -> Result<(), ApplyError> {
    let staged = Staged::seal(&home.staged).unwrap();
    apply_by(Way::Versions, &home.dir, &home.installed, &staged, (from, to))
}

/// A start of the installed program, which counts it and hands over to the version in use.
fn start(home: &Home) -> Decision {
    let decision = Startup::begin_by(Way::Versions, &home.dir, &home.installed, false);
    if let Decision::Run(_) = &decision {
        // What the second program finds is the same, and counts nothing.
        let points = Note::load(&home.dir);
        let second = Startup::begin_by(Way::Versions, &home.dir, &home.installed, true);
        assert_eq!(points, Note::load(&home.dir));
        return second;
    }
    decision
}

fn runs(home: &Home) -> Startup {
    ran(start(home))
}

fn takes_back(home: &Home) {
    taken_back(start(home));
}

fn in_use(home: &Home) -> String {
    version_at(&Versions(&home.installed).current())
}

/// What lies beside the installed version but the pointer.
fn beside(home: &Home) -> Vec<String> {
    let entries = fs::read_dir(Versions(&home.installed).folder())
        .into_iter()
        .flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != "current").collect();
    names.sort();
    names
}

fn updated() -> Home {
    let home = home();
    apply(&home, "1.0.0", "2.0.0").unwrap();
    home
}

#[test]
fn one_version_after_the_other_is_put_beside_and_the_last_stays() {
    let home = updated();
    assert_eq!(
        (in_use(&home).as_str(), version_at(&home.installed).as_str()),
        ("2.0.0", "1.0.0")
    );
    assert!(!home.staged.exists(), "it was moved");
    runs(&home).started_well();
    bundle(&home.staged, "3.0.0");
    apply(&home, "2.0.0", "3.0.0").unwrap();
    assert_eq!(beside(&home), ["2.0.0", "3.0.0"], "2.0.0 still runs");
    runs(&home).started_well();
    assert_eq!(
        (in_use(&home).as_str(), beside(&home)),
        ("3.0.0", vec!["3.0.0".to_owned()])
    );
    (0..9).for_each(|_| drop(runs(&home)));
    assert_eq!(in_use(&home), "3.0.0");
    // A newer one is installed over all of it.
    bundle(&home.installed, "3.0.1");
    assert_eq!(in_use(&home), "3.0.1");
    runs(&home).started_well();
    assert_eq!(beside(&home), [""; 0]);
}

#[test]
fn a_version_that_does_not_start_is_taken_back() {
    let home = updated();
    runs(&home).failed();
    runs(&home).failed();
    takes_back(&home);
    assert_eq!((in_use(&home).as_str(), beside(&home)), ("1.0.0", vec![]));
    assert!(Note::load(&home.dir).is_bad("2.0.0"));
    runs(&home).started_well();

    // To one that was put beside, too.
    let home = updated();
    runs(&home).started_well();
    bundle(&home.staged, "3.0.0");
    apply(&home, "2.0.0", "3.0.0").unwrap();
    (0..4).for_each(|_| drop(runs(&home)));
    assert!(matches!(start(&home), Decision::RolledBack { .. }));
    assert_eq!(
        (in_use(&home).as_str(), beside(&home)),
        ("2.0.0", vec!["2.0.0".to_owned()])
    );
}

#[test]
fn a_spoilt_package_json_does_not_keep_starts_from_being_counted() {
    for spoilt in ["{\"version\": ", "{}", ""] {
        let home = updated();
        let package = Versions(&home.installed)
            .current()
            .join("resources/app/package.json");
        fs::write(&package, spoilt).unwrap();
        runs(&home).failed();
        fs::remove_file(&package).unwrap();
        runs(&home).failed();
        takes_back(&home);
        assert_eq!(in_use(&home), "1.0.0");
    }
}

#[test]
fn a_program_that_cannot_run_does_not_get_in() {
    let home = home();
    program(&home.staged, "exit 3 # 2.0.0");
    let error = apply(&home, "1.0.0", "2.0.0").unwrap_err();
    assert!(matches!(error, ApplyError::CannotRun { .. }), "{error}");
    assert_eq!((in_use(&home).as_str(), beside(&home)), ("1.0.0", vec![]));
    assert!(Note::load(&home.dir).is_bad("2.0.0"));
}

#[test]
fn what_could_not_be_put_in_place_can_be_tried_again() {
    let home = home();
    // No pointer can be written where a folder is that has something in it.
    let pointer = Versions(&home.installed).pointer();
    fs::create_dir_all(pointer.join("in the way")).unwrap();
    let error = apply(&home, "1.0.0", "2.0.0").unwrap_err();
    assert!(matches!(error, ApplyError::Swap { .. }), "{error}");
    assert_eq!(version_at(&home.staged), "2.0.0");
    assert_eq!((in_use(&home).as_str(), beside(&home)), ("1.0.0", vec![]));
    fs::remove_dir_all(&pointer).unwrap();
    apply(&home, "1.0.0", "2.0.0").unwrap();
    assert_eq!(in_use(&home), "2.0.0");
}

#[test]
fn a_stop_at_any_step_leaves_a_whole_version_in_use() {
    // Brought, and nothing else.
    let home = home();
    let bring = |home: &Home| {
        Way::Versions
            .bring(&home.staged, &home.installed, "2.0.0")
            .unwrap()
    };
    bring(&home);
    assert_eq!(in_use(&home), "1.0.0");
    runs(&home).started_well();
    assert_eq!(beside(&home), [""; 0]);

    // Brought and noted.
    let home = self::home();
    let note = |home: &Home, brought: &Path| {
        let mut note = Note::default();
        note.begin_version("1.0.0", "2.0.0", brought, &home.installed);
        note.save(&home.dir).unwrap();
    };
    note(&home, &bring(&home));
    (0..5).for_each(|_| drop(runs(&home)));
    assert_eq!(in_use(&home), "1.0.0");
    runs(&home).started_well();
    assert_eq!((beside(&home), Note::load(&home.dir)), (vec![], Note::default()));

    // Pointed to: it is on trial.
    let home = self::home();
    let brought = bring(&home);
    note(&home, &brought);
    Way::Versions.put(&brought, &home.installed).unwrap();
    assert_eq!(in_use(&home), "2.0.0");
    (0..2).for_each(|_| runs(&home).failed());
    takes_back(&home);

    // Taken back, and the note not cleared: the version before runs and clears it.
    let home = updated();
    (0..2).for_each(|_| runs(&home).failed());
    Way::Versions.put(&home.installed, &home.installed).unwrap();
    runs(&home).started_well();
    assert_eq!((in_use(&home).as_str(), beside(&home)), ("1.0.0", vec![]));

    // Half deleted.
    let home = updated();
    let old = Versions(&home.installed).folder().join(".old-1.5.0");
    fs::create_dir(&old).unwrap();
    runs(&home).started_well();
    assert!(!old.exists());
}

#[test]
fn what_runs_elsewhere_is_not_cleared_while_another_instance_updates() {
    let home = updated();
    let lock = BundleLock::take(&home.installed, Duration::ZERO)
        .unwrap()
        .unwrap();
    let brought = Versions(&home.installed).bundle("3.0.0");
    bundle(&brought, "3.0.0");
    runs(&home).started_well();
    assert!(brought.exists());
    drop(lock);
    runs(&home).started_well();
    assert!(!brought.exists());
}

#[test]
fn a_packages_bundle_is_brought_beside_the_copy_that_a_user_has() {
    let home = home();
    let packaged = home.dir.with_file_name("usr").join("App");
    let copy = home.dir.with_file_name("share").join("app/App");
    let now = |version: &str| {
        let _ = fs::remove_dir_all(&packaged);
        bundle(&packaged, version);
        fs::write(packaged.join(app::layout::PACKAGED), "msix\n").unwrap();
        let copied = copied::copy_by(Way::Versions, &home.dir, &packaged, &copy).unwrap();
        (copied, version_at(&Versions(&copy).current()))
    };
    assert_eq!(now("1.0.0"), (Copied::New, "1.0.0".to_owned()));
    assert_eq!(now("1.0.0"), (Copied::Kept, "1.0.0".to_owned()));
    assert_eq!(now("1.0.1"), (Copied::New, "1.0.1".to_owned()));
    assert_eq!(version_at(&copy), "1.0.0", "it may still run");
    assert_eq!(now("1.0.0"), (Copied::Kept, "1.0.1".to_owned()));
    let current = Versions(&copy).current();
    assert!(
        !current.join(app::layout::PACKAGED).exists(),
        "the copy updates itself"
    );
    // A program that is gone, of the one or the other.
    fs::remove_file(current.join("App")).unwrap();
    assert_eq!(now("1.0.1"), (Copied::New, "1.0.1".to_owned()));
    fs::remove_file(copy.join("App")).unwrap();
    assert_eq!(now("1.0.1"), (Copied::New, "1.0.1".to_owned()));
    assert_eq!(version_at(&copy), "1.0.1");
    let beside = fs::read_dir(copy.parent().unwrap()).unwrap().count();
    assert_eq!(beside, 2, "the copy and its lock");
}
