//! `bosc provision`: one version of a staged drive goes, as its files alone, onto the drive that apps follow.

use std::time::Duration;

use app::Link;
use release::ProvisionPlan;
use serde_json::{Value, json};

use crate::args::{self, Global};
use crate::output::Output;
use crate::store;
use crate::view::{self, View};

pub(crate) async fn run(args: &args::Provision, global: &Global, output: &Output) -> anyhow::Result<()> {
    let (source, target, production): (Link, Link, Link) = (
        args.source.parse()?,
        args.target.parse()?,
        args.production.parse()?,
    );
    let (store, _lock) = store::open_to_write(global)?;
    let network = store::network(global, store);
    let links = [&source, &target, &production];
    let plan = ProvisionPlan::new(&network, links, args.force, &mut View::new(output)).await?;
    view::notes(plan.notes(), output);
    let provisioned = if args.dry_run {
        let provisioned = plan.preview(&mut View::new(output)).await?;
        output.tag("dry", Value::Null);
        output.say("dry run: nothing is written");
        provisioned
    } else {
        let cooldown = Duration::from_secs(args.cooldown);
        let provisioned = plan.run(&mut View::new(output), cooldown).await?;
        let link = Link::plain(provisioned.target.verlink.key);
        output.result(&format!("^Latest: {}", provisioned.version));
        output.result(&provisioned.target.verlink.to_string());
        output.result(&format!("[ {link} ]"));
        output.say(&format!(
            "next: keep `bosc seed {link}` running; apps that follow the link update by themselves"
        ));
        provisioned
    };
    network.close().await?;
    output.done(json!({
        "source": view::drive(&provisioned.source),
        "target": view::drive(&provisioned.target),
        "production": view::drive(&provisioned.production),
    }));
    Ok(())
}
