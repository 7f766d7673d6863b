//! `bosc.exe` under Wine, beside `bosc`: what a Windows program does with stores, peers, names and a kill. `cargo xtask cross` builds it
//! and runs these tests; elsewhere each says that it is skipped. Wine is no Windows: what holds for both is in docs/systems.md.

#[path = "wine/names.rs"]
mod names;
#[path = "wine/stand.rs"]
mod stand;
#[path = "wine/updates.rs"]
mod updates;

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use bosc_tests::peers::{expect_same, noise, write_deployment};
use bosc_tests::process::{Process, run, wait_until};
use bosc_tests::team::{refused, verlink};
use bosc_tests::torture::program::{finish, kill_after};
use rand::RngExt;

use stand::{LIMIT, Stand, same_contents};

#[test]
fn it_says_its_version_and_its_help_as_on_linux() -> Result<()> {
    let Some(stand) = Stand::new("wine-words")? else {
        return Ok(());
    };
    for args in [&["--version"][..], &["--help"], &["help", "stage"]] {
        let windows = run(&mut stand.windows("store", args))?.replace("\r\n", "\n");
        let linux = run(&mut stand.linux("store", args))?;
        ensure!(
            windows.replace("bosc.exe", "bosc") == linux && !linux.is_empty(),
            "{args:?} says under Wine:\n{windows}"
        );
    }
    Ok(())
}

#[test]
fn a_store_made_under_wine_opens_again_there_and_on_linux() -> Result<()> {
    let Some(stand) = Stand::new("wine-store")? else {
        return Ok(());
    };
    let link = stand.touch_windows("store")?;
    stand.deployment("release", &link)?;
    run(&mut stand.windows("store", &["stage", &link, "release"]))?;
    for args in [&["info", &link, "--json"][..], &["check", &link]] {
        let windows = run(&mut stand.windows("store", args))?.replace("\r\n", "\n");
        let linux = run(&mut stand.linux("store", args))?;
        ensure!(
            windows == linux && windows.contains(&link[7..]),
            "{args:?}: {windows}\n{linux}"
        );
    }
    Ok(())
}

#[test]
fn a_second_writer_is_refused_in_the_words_of_linux() -> Result<()> {
    let Some(stand) = Stand::new("wine-writers")? else {
        return Ok(());
    };
    let large = stand.place.home.join("large");
    write_deployment(&large, "Large", "1.0.0", stand::ELSEWHERE)?;
    fs::write(large.join("large"), noise(150_000_000, 3))?;
    let small = stand.place.home.join("small");
    write_deployment(&small, "Small", "1.0.0", stand::ELSEWHERE)?;
    let mut said = Vec::new();
    for windows in [true, false] {
        let store = if windows { "store-w" } else { "store-l" };
        let command = |args: &[&str]| stand.either(windows, store, args);
        let link = run(&mut command(&["touch"]))?.trim().to_owned();
        let mut first = Process::start(
            &format!("first-{store}"),
            &mut command(&["stage", &link, "large"]),
            &stand.place.logs(),
        )?;
        let lock = stand.place.home.join(store).join("writer.lock");
        wait_until("the store is locked", LIMIT, || {
            Ok((first.is_running() && lock.exists()).then_some(()))
        })?;
        std::thread::sleep(Duration::from_millis(300));
        let words = refused(&mut command(&["stage", &link, "small"]))?;
        ensure!(
            first.is_running(),
            "the first writer ended too early to show anything"
        );
        // Who reads is not kept waiting.
        run(&mut command(&["info", &link]))?;
        ensure!(first.ends_within(LIMIT), "the first writer hangs");
        run(&mut command(&["stage", &link, "small"]))?;
        said.push(
            words
                .replace("\r\n", "\n")
                .replace('\\', "/")
                .replace(store, "store"),
        );
    }
    ensure!(said[0] == said[1] && said[0].contains("another"), "{said:?}");
    Ok(())
}

#[test]
fn what_is_staged_and_seeded_under_wine_is_fetched_on_linux() -> Result<()> {
    let Some(stand) = Stand::new("wine-to-linux")? else {
        return Ok(());
    };
    let link = stand.touch_windows("author")?;
    let folder = stand.deployment("release", &link)?;
    run(&mut stand.windows("author", &["stage", &link, "release"]))?;
    let _seed = stand.seed_windows("author", &link)?;
    run(&mut stand.linux("reader", &["dump", &link, "out"]))?;
    // The program in it is to be run again, although Windows' disks do not say so.
    expect_same(&folder, &stand.place.home.join("out"))
}

#[test]
fn what_is_staged_and_seeded_on_linux_is_fetched_under_wine() -> Result<()> {
    let Some(stand) = Stand::new("linux-to-wine")? else {
        return Ok(());
    };
    let link = run(&mut stand.linux("author", &["touch"]))?.trim().to_owned();
    let folder = stand.deployment("release", &link)?;
    run(&mut stand.linux("author", &["stage", &link, "release"]))?;
    let _seed = stand.place.seed("author", &link)?;
    run(&mut stand.windows("reader", &["dump", &link, "out"]))?;
    same_contents(&folder, &stand.place.home.join("out"))
}

#[test]
fn peers_under_wine_meet_through_a_dht_under_wine() -> Result<()> {
    let Some(mut stand) = Stand::new("wine-to-wine")? else {
        return Ok(());
    };
    let mut command = stand.windows("dht", &["dht", "--port", "0"]);
    let mut dht = Process::start("dht-windows", &mut command, &stand.place.logs())?;
    stand.place.bootstrap = dht.wait_for("its address", LIMIT, |line| {
        let address = line.trim().parse::<std::net::SocketAddr>();
        address.ok().map(|address| address.to_string())
    })?;
    let link = stand.touch_windows("author")?;
    let folder = stand.deployment("release", &link)?;
    run(&mut stand.windows("author", &["stage", &link, "release"]))?;
    let _seed = stand.seed_windows("author", &link)?;
    run(&mut stand.windows("reader", &["dump", &link, "out"]))?;
    same_contents(&folder, &stand.place.home.join("out"))
}

#[test]
fn one_deployment_for_three_systems_is_made_and_built_under_wine() -> Result<()> {
    let Some(stand) = Stand::new("wine-build")? else {
        return Ok(());
    };
    let link = stand.touch_windows("store")?;
    stand.project(&link)?;
    let mut build = vec!["build".to_owned(), "--package=app/package.json".to_owned()];
    for (host, bundle) in [
        ("win32-x64", "Cool"),
        ("darwin-arm64", "Cool.app"),
        ("linux-x64", "Cool"),
    ] {
        fs::write(stand.place.home.join(host), stand::program(host))?;
        run(&mut stand.windows("store", &["make", "app", "--target", host, "--bin", host]))?;
        build.push(format!("--{host}-app=app/out/Cool-{host}/{bundle}"));
    }
    for (name, windows) in [("built-w", true), ("built-l", false)] {
        let mut args: Vec<&str> = build.iter().map(String::as_str).collect();
        args.extend(["--target", name]);
        run(&mut stand.either(windows, "store", &args))?;
    }
    let home = &stand.place.home;
    for place in [
        "by-arch/win32-x64/app/Cool/Cool.exe",
        "by-arch/darwin-arm64/app/Cool.app/Contents/MacOS/Cool",
        "by-arch/linux-x64/app/Cool/Cool",
    ] {
        ensure!(home.join("built-w").join(place).is_file(), "{place} is missing");
    }
    same_contents(&home.join("built-w"), &home.join("built-l"))?;
    run(&mut stand.windows("store", &["stage", &link, "built-w"]))?;
    run(&mut stand.linux("store", &["dump", &link, "out"]))?;
    same_contents(&home.join("built-w"), &home.join("out"))?;
    for place in [
        "by-arch/darwin-arm64/app/Cool.app/Contents/MacOS/Cool",
        "by-arch/linux-x64/app/Cool/Cool",
    ] {
        ensure!(
            stand::is_executable(&home.join("out").join(place))?,
            "{place} cannot be started"
        );
    }
    Ok(())
}

#[test]
fn a_stage_killed_at_twenty_places_goes_on_and_leaves_a_sound_store() -> Result<()> {
    let Some(stand) = Stand::new("wine-kills")? else {
        return Ok(());
    };
    let link = stand.touch_windows("store")?;
    let folder = stand.deployment("release", &link)?;
    let stage = ["stage", link.as_str(), "release"];
    let log = stand.place.logs().join("stage");
    let mut whole = finish(&mut stand.windows("store", &stage), LIMIT, &log)?
        .good("the first stage")?
        .took;
    let (mut killed, mut random) = (0, rand::rng());
    for run_number in 0..20 {
        fs::write(folder.join("changing"), noise(4_000_000, 100 + run_number))?;
        let delay = whole.mul_f64(random.random_range(0.05..0.95));
        if kill_after(&mut stand.windows("store", &stage), delay)? {
            killed += 1;
        }
        let again = finish(&mut stand.windows("store", &stage), LIMIT, &log)?;
        whole = (whole + again.good("a stage after a kill")?.took) / 2;
        finish(&mut stand.windows("store", &["check", &link]), LIMIT, &log)?.good("bosc check")?;
    }
    ensure!(killed >= 10, "only {killed} of 20 runs were killed in time");
    println!("{killed} of 20 stages were killed");
    run(&mut stand.linux("store", &["dump", &link, "out"]))?;
    same_contents(&folder, &stand.place.home.join("out"))
}

#[test]
fn a_dump_killed_at_ten_places_goes_on_and_leaves_no_half_written_file() -> Result<()> {
    let Some(stand) = Stand::new("wine-dump-kills")? else {
        return Ok(());
    };
    let link = stand.touch_windows("store")?;
    let folder = stand.deployment("release", &link)?;
    fs::write(folder.join("large"), noise(20_000_000, 7))?;
    run(&mut stand.windows("store", &["stage", &link, "release"]))?;
    let log = stand.place.logs().join("dump");
    let whole = finish(
        &mut stand.windows("store", &["dump", &link, "first"]),
        LIMIT,
        &log,
    )?
    .good("the first dump")?
    .took;
    let (mut killed, mut half, mut random) = (0, 0, rand::rng());
    for number in 0..10 {
        let out = format!("out-{number}");
        let dump = ["dump", link.as_str(), &out];
        let delay = whole.mul_f64(random.random_range(0.2..0.95));
        if kill_after(&mut stand.windows("store", &dump), delay)? {
            killed += 1;
        }
        let out = stand.place.home.join(&out);
        half += stand::temporary_files(&out)?;
        let again = finish(&mut stand.windows("store", &dump), LIMIT, &log)?;
        // A dump that was killed after its last file is done, and is not written over.
        if !again.stderr.contains("is not empty") {
            again.good("a dump after a kill")?;
        }
        same_contents(&folder, &out)?;
    }
    ensure!(killed >= 5, "only {killed} of 10 runs were killed in time");
    println!("{killed} of 10 dumps were killed, which left {half} half-written files");
    Ok(())
}

#[test]
fn a_version_is_provisioned_under_wine_for_whoever_follows_the_link() -> Result<()> {
    let Some(stand) = Stand::new("wine-provision")? else {
        return Ok(());
    };
    let (stage, link) = (stand.touch_windows("store")?, stand.touch_windows("store")?);
    let folder = stand.deployment("release", &link)?;
    let said = run(&mut stand.windows("store", &["stage", &stage, "release"]))?;
    let version = verlink(&said)?;
    let production = link.replace("://", "://0.0.");
    run(&mut stand.windows("store", &["provision", &version, &link, &production]))?;
    run(&mut stand.linux("store", &["dump", &link, "out"]))?;
    expect_same(&folder, &stand.place.home.join("out"))
}

#[test]
fn a_new_app_is_the_same_as_on_linux() -> Result<()> {
    let Some(stand) = Stand::new("wine-init")? else {
        return Ok(());
    };
    // Each program would else name the repository as its own system spells the path.
    let bosc = ["--bosc", "https://example.org/bosc.git"];
    run(&mut stand.windows("store", &[&["init", "windows/my-app"], &bosc[..]].concat()))?;
    run(&mut stand.linux("store", &[&["init", "linux/my-app"], &bosc[..]].concat()))?;
    let home = &stand.place.home;
    same_contents(&home.join("windows"), &home.join("linux"))
}
