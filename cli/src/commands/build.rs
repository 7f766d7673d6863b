//! `bosc build`: bundles for several machines become one deployment folder (npm `pear-build`).

use release::Gather;
use serde_json::json;

use crate::args;
use crate::output::Output;
use crate::view::{View, notes};

pub(crate) async fn run(args: &args::Build, output: &Output) -> anyhow::Result<()> {
    let gather = Gather {
        package: args.package.clone(),
        target: args.target.clone(),
        bundles: args.apps.bundles()?,
    };
    let plan = gather.plan()?;
    let (name, version) = (plan.manifest().name.clone(), plan.manifest().version.to_string());
    notes(plan.notes(), output);
    output.tag(
        "building",
        json!({ "name": name, "version": version, "target": plan.target().display().to_string() }),
    );
    let hosts: Vec<String> = plan.bundles().iter().map(|(host, _)| host.to_string()).collect();
    let target = plan.run(&mut View::new(output)).await?;
    output.say(&format!("built {name} {version} for {}", hosts.join(", ")));
    output.path(&target);
    output.say(&format!("next: bosc stage <stage link> {}", target.display()));
    output.done(json!({ "target": target.display().to_string() }));
    Ok(())
}
