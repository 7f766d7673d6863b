//! A small crowd in virtual time: the same machines and the same rules as the large one of `docs/crowds.md`.

use std::time::Duration;

use bosc_tests::crowd_sim::{Scene, play, plot};

#[test]
fn a_crowd_that_gives_back_spares_its_seeds_takes_no_longer_and_a_number_is_one_run() {
    let scene = Scene {
        apps: 1000,
        bytes: 5_000_000,
        delay: Some(Duration::from_secs(600)),
        ..Scene::default()
    };
    // As many as there are places for.
    let alone = play(&Scene {
        apps: 240,
        ..scene.clone()
    });
    let giving = play(&Scene {
        giving: 1.0,
        ..scene.clone()
    });
    for (outcome, apps) in [(&alone, 240), (&giving, 1000)] {
        assert_eq!(outcome.updated.len(), apps);
        let (half, all) = (outcome.time_of(0.5).unwrap(), outcome.time_of(1.0).unwrap());
        assert!((240..420).contains(&half.as_secs()), "{half:?}");
        assert!(all < Duration::from_secs(700), "{all:?}");
    }
    assert!(
        (0.99..1.01).contains(&alone.seeds_share()),
        "{}",
        alone.seeds_share()
    );
    assert!(giving.seeds_share() < 0.5, "{}", giving.seeds_share());
    assert_eq!(play(&Scene { giving: 1.0, ..scene }), giving);
    assert!(plot(&[("a".to_owned(), giving)]).ends_with("</svg>\n"));
}
