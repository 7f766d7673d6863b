//! `bosc` killed at any moment: what is released is before or after, and the same command run again does it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::program::{finish, kill_after};
use super::{Campaign, Random, Tree, copy_folder, deployment, finished_files, names, nothing_more, remove};
use crate::peers::{Place, read_tree};
use crate::team::{Team, seeders, verlink};

/// No command of these campaigns takes this long, not even beside a compiler.
const LIMIT: Duration = Duration::from_secs(90);

/// A link with nothing behind it, for `package.json`.
pub(crate) const ELSEWHERE: &str = "pear://5db4ysm3yq3e47ehpafznb5zmahe7tpd37ujzze6x5nbznhxp33y";

/// Runs `bosc` to its good end; how long it took.
pub(crate) fn bosc(place: &Place, store: &str, args: &[&str]) -> Result<Duration> {
    let what = format!("bosc {}", args.first().copied().unwrap_or_default());
    let ended = finish(&mut place.bosc(store, args), LIMIT, &place.logs().join("bosc"))?;
    Ok(ended.good(&what)?.took)
}

/// What a link holds, as this store has it.
fn dumped(place: &Place, store: &str, link: &str) -> Result<Tree> {
    let out = place.home.join("read");
    remove(&out)?;
    bosc(place, store, &["dump", link, "read", "--timeout", "1"])?;
    read_tree(&out)
}

/// Counts what a kill left: all as before, or all as after.
fn before_or_after(campaign: &mut Campaign, found: &Tree, before: &Tree, after: &Tree) -> Result<()> {
    if found == before {
        campaign.count("before");
    } else {
        let odd = found
            .iter()
            .find(|(path, content)| after.get(*path) != Some(content));
        ensure!(
            found == after,
            "after the kill the link holds a mixture: {} files, {:?} is not of the new version",
            found.len(),
            odd.map(|(path, _)| path)
        );
        campaign.count("after");
    }
    Ok(())
}

/// A link that commands of one store change, and how long such a command takes.
struct Target<'a> {
    place: &'a Place,
    store: &'a str,
    link: &'a str,
    whole: Duration,
    /// What the store's folder holds between two commands.
    usual: BTreeSet<String>,
}

impl<'a> Target<'a> {
    /// After a command that took `whole`.
    fn new(place: &'a Place, store: &'a str, link: &'a str, whole: Duration) -> Result<Self> {
        let usual = names(&place.home.join(store))?;
        Ok(Self {
            place,
            store,
            link,
            whole,
            usual,
        })
    }

    /// Kills the command that takes the link from `before` to `after`: the link holds one of the two, and the command run again brings
    /// it there and leaves nothing behind.
    fn strike(
        &mut self,
        campaign: &mut Campaign,
        random: &mut Random,
        args: &[&str],
        (before, after): (&Tree, &Tree),
    ) -> Result<()> {
        let (place, store) = (self.place, self.store);
        let killed = kill_after(&mut place.bosc(store, args), random.within(self.whole))?;
        count_kill(campaign, killed);
        before_or_after(campaign, &dumped(place, store, self.link)?, before, after)?;
        self.whole = (self.whole + bosc(place, store, args)?) / 2;
        ensure!(
            dumped(place, store, self.link)? == *after,
            "run again, the command does not bring the new version"
        );
        nothing_more(&place.home.join(store), &self.usual)
    }
}

fn count_kill(campaign: &mut Campaign, killed: bool) {
    campaign.count(if killed { "killed" } else { "too late" });
}

/// `bosc stage`.
pub fn stage(campaign: &mut Campaign, kills: u64) -> Result<()> {
    let place = Place::new(campaign.name)?;
    let link = place.run("store", &["touch"])?.trim().to_owned();
    let tree = place.home.join("tree");
    let args = ["stage", &link, "tree"];
    deployment(&tree, ELSEWHERE, 0)?;
    bosc(&place, "store", &args)?;
    deployment(&tree, ELSEWHERE, 1)?;
    let whole = bosc(&place, "store", &args)?;
    let mut target = Target::new(&place, "store", &link, whole)?;
    campaign.runs(kills, |campaign, run, random| {
        let before = read_tree(&tree)?;
        deployment(&tree, ELSEWHERE, run + 2)?;
        target.strike(campaign, random, &args, (&before, &read_tree(&tree)?))
    });
    Ok(())
}

/// `bosc provision`.
pub fn provision(campaign: &mut Campaign, kills: u64) -> Result<()> {
    let place = Place::new(campaign.name)?;
    let touch = || Ok::<_, anyhow::Error>(place.run("store", &["touch"])?.trim().to_owned());
    let (stage, link) = (touch()?, touch()?);
    let production = link.replace("://", "://0.0.");
    let tree = place.home.join("tree");
    let staged = |number: u64| -> Result<String> {
        deployment(&tree, ELSEWHERE, number)?;
        verlink(&place.run("store", &["stage", &stage, "tree"])?)
    };
    let first = staged(0)?;
    let whole = bosc(&place, "store", &["provision", &first, &link, &production])?;
    let mut target = Target::new(&place, "store", &link, whole)?;
    campaign.runs(kills, |campaign, run, random| {
        let before = read_tree(&tree)?;
        let source = staged(run + 1)?;
        let args = ["provision", &source, &link, &production];
        target.strike(campaign, random, &args, (&before, &read_tree(&tree)?))
    });
    Ok(())
}

/// `bosc dump` from a seed: every file is whole, and the second dump needs no `--force`.
pub fn dump(campaign: &mut Campaign, kills: u64) -> Result<()> {
    let place = Place::new(campaign.name)?;
    let link = place.run("store", &["touch"])?.trim().to_owned();
    let tree = place.home.join("tree");
    deployment(&tree, ELSEWHERE, 0)?;
    bosc(&place, "store", &["stage", &link, "tree"])?;
    let all = read_tree(&tree)?;
    let _seed = place.seed("store", &link)?;
    let (store, out) = (place.home.join("reader"), place.home.join("out"));
    let args = ["dump", &link, "out"];
    let mut whole = bosc(&place, "reader", &args)?;
    campaign.runs(kills, |campaign, _, random| {
        remove(&store)?;
        remove(&out)?;
        let killed = kill_after(&mut place.bosc("reader", &args), random.within(whole))?;
        count_kill(campaign, killed);
        let written = finished_files(&out)?;
        for (path, content) in &written {
            ensure!(
                all.get(path) == Some(content),
                "after the kill {} is not whole",
                path.display()
            );
        }
        campaign.count(match written.len() {
            0 => "none written",
            some if some == all.len() => "all written",
            _ => "some written",
        });
        if !killed {
            // Finished, it is somebody's folder.
            remove(&out)?;
        } else if written.len() == all.len() && !out.join(".bosc-tmp-dump").exists() {
            campaign.count("killed after the last file");
            remove(&out)?;
        }
        whole = (whole + bosc(&place, "reader", &args)?) / 2;
        ensure!(
            read_tree(&out)? == all,
            "after the second dump the folder is not what the link holds"
        );
        Ok(())
    });
    Ok(())
}

/// `bosc multisig commit`: each time from the same store, in which one version is released and the next is signed.
pub fn commit(campaign: &mut Campaign, kills: u64) -> Result<()> {
    let place = Place::new(campaign.name)?;
    let team = Team::new(&place, &["ann", "ben"], 2)?;
    let touch = || Ok::<_, anyhow::Error>(place.run("release", &["touch"])?.trim().to_owned());
    let (stage, source) = (touch()?, touch()?);
    let tree = place.home.join("tree");
    let patience = ["--force", "--peer-update-timeout", "3000"];
    let prepare = |number: u64| -> Result<Vec<String>> {
        deployment(&tree, &team.link, number)?;
        let staged = verlink(&place.run("release", &["stage", &stage, "tree"])?)?;
        let production = source.replace("://", "://0.0.");
        let version = verlink(&place.run("release", &["provision", &staged, &source, &production])?)?;
        // A request wants two that hold the source.
        let _seeds = seeders(&place, &["release", "north"], &source)?;
        let request = place
            .run(
                "alice",
                &["multisig", "request", &version, "--peer-update-timeout", "3000"],
            )?
            .trim()
            .to_owned();
        let mut args = vec![
            "multisig".to_owned(),
            "commit".to_owned(),
            version,
            request.clone(),
        ];
        for name in ["ann", "ben"] {
            args.push(team.sign(name, &request)?);
        }
        args.extend(patience.map(str::to_owned));
        Ok(args)
    };
    let first = prepare(1)?;
    let before = read_tree(&tree)?;
    {
        let _seed = place.seed("release", &source)?;
        bosc(
            &place,
            "alice",
            &first.iter().map(String::as_str).collect::<Vec<_>>(),
        )?;
    }
    let second = prepare(2)?;
    let second: Vec<&str> = second.iter().map(String::as_str).collect();
    let after = read_tree(&tree)?;
    let (alice, kept) = (place.home.join("alice"), place.home.join("alice-signed"));
    copy_folder(&alice, &kept)?;
    let _seed = place.seed("release", &source)?;
    let whole = bosc(&place, "alice", &second)?;
    let mut target = Target::new(&place, "alice", &team.link, whole)?;
    campaign.runs(kills, |campaign, _, random| {
        copy_folder(&kept, &alice)?;
        target.strike(campaign, random, &second, (&before, &after))
    });
    Ok(())
}
