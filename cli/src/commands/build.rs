//! `bosc build`: bundles for several machines become one deployment folder (npm `pear-build`).

use std::path::PathBuf;

use app::Host;
use release::Gather;
use serde_json::json;

use crate::args;
use crate::output::Output;
use crate::view::{View, notes};

pub(crate) async fn run(args: &args::Build, output: &Output) -> anyhow::Result<()> {
    let gather = Gather {
        package: args.package.clone(),
        target: args.target.clone(),
        bundles: bundles(args)?,
    };
    let plan = gather.plan()?;
    let (name, version) = (plan.manifest().name.clone(), plan.manifest().version.to_string());
    notes(plan.notes(), output);
    output.tag(
        "building",
        json!({ "name": name, "version": version, "target": plan.target().display().to_string() }),
    );
    let hosts: Vec<String> = plan.bundles().iter().map(|(host, _)| host.to_string()).collect();
    let target = plan.run(&mut View(output)).await?;
    output.say(&format!("built {name} {version} for {}", hosts.join(", ")));
    output.path(&target);
    output.done(json!({ "target": target.display().to_string() }));
    Ok(())
}

/// The bundles that the arguments name, with their machines.
fn bundles(args: &args::Build) -> anyhow::Result<Vec<(Host, PathBuf)>> {
    let given = [
        ("darwin-arm64", &args.darwin_arm64_app),
        ("darwin-x64", &args.darwin_x64_app),
        ("linux-arm64", &args.linux_arm64_app),
        ("linux-x64", &args.linux_x64_app),
        ("win32-arm64", &args.win32_arm64_app),
        ("win32-x64", &args.win32_x64_app),
    ];
    let mut bundles = Vec::new();
    for (host, apps) in given {
        for app in apps {
            bundles.push((host.parse()?, app.clone()));
        }
    }
    Ok(bundles)
}
