//! `bosc make`: an app's project folder becomes what people install, `out/<Product>-<host>/…`; what is made and how is `packaging`'s.

use std::path::Path;

use app::Host;
use indicatif::HumanBytes;
use packaging::{Format, Made, PackagingError, Plan, Program, Progress, Request, Signing, Stop};
use serde_json::{Value, json};

use crate::args;
use crate::output::Output;

pub(crate) async fn run(args: &args::Make, output: &Output) -> anyhow::Result<()> {
    let request = Request {
        dir: args.dir.clone(),
        host: args.target.clone().unwrap_or_else(Host::current),
        program: program(args.making.bin.as_deref(), &args.making.profile),
        out: args.out.clone(),
        formats: args.making.format.clone(),
    };
    let (plan, made) = make(request, output).await?;
    for made in &made {
        output.path(&made.path);
    }
    let folder = made.iter().find(|made| made.format == Format::Folder);
    let first = folder
        .or(made.first())
        .map(|made| made.path.display().to_string());
    let app = folder.and_then(|made| app::Layout::at(plan.host(), &made.path).app(&made.path));
    output.done(json!({
        "bundle": first,
        "app": app.map(|app| app.display().to_string()),
        "version": plan.manifest().version.to_string(),
        "made": made.iter().map(described).collect::<Vec<Value>>(),
    }));
    Ok(())
}

/// The app's program: the one that is named, or what cargo builds.
pub(crate) fn program(built: Option<&Path>, profile: &str) -> Program {
    match built {
        Some(program) => Program::Built(program.to_owned()),
        None => Program::Cargo {
            profile: profile.to_owned(),
        },
    }
}

/// Makes it, and says so. It reads, compresses and waits for cargo, on a thread that may.
pub(crate) async fn make(request: Request, output: &Output) -> anyhow::Result<(Plan, Vec<Made>)> {
    let (output, stop) = (output.clone(), Stop::default());
    let _dropped = StopIfDropped(stop.clone());
    let work = move || {
        let signing = Signing::by(&request.host, |name| std::env::var_os(name));
        let plan = Plan::new(request)?.signed(signing)?;
        let made = plan.run_until(&stop, &mut |progress| tell(&progress, &output))?;
        let manifest = plan.manifest();
        output.say(&format!(
            "made {} {} for {}",
            manifest.product_name,
            manifest.version,
            plan.host()
        ));
        Ok((plan, made))
    };
    tokio::task::spawn_blocking(work).await?.map_err(as_known)
}

/// Stops what is made on another thread, where nobody waits for it any more.
struct StopIfDropped(Stop);

impl Drop for StopIfDropped {
    fn drop(&mut self) {
        self.0.stop();
    }
}

fn tell(progress: &Progress<'_>, output: &Output) {
    match progress {
        Progress::Building => output.say("building the app's program..."),
        Progress::Signing => output.say("signing..."),
        // Who looks on sees what takes its time; who reads a log sees what came of it.
        Progress::Making(format) if output.interactive() => output.say(&format!("{}...", format.name())),
        Progress::Made(made) => {
            output.tag("made", described(made));
            output.say(&format!(
                "{}: {} in {:.1} s",
                made.format.name(),
                HumanBytes(made.bytes),
                made.took.as_secs_f64()
            ));
        }
        _ => {}
    }
}

fn described(made: &Made) -> Value {
    json!({
        "format": made.format.name(),
        "path": made.path.display().to_string(),
        "bytes": made.bytes,
        "milliseconds": u64::try_from(made.took.as_millis()).unwrap_or(u64::MAX),
    })
}

/// What is wrong with a package.json has a code of its own in the output.
fn as_known(error: PackagingError) -> anyhow::Error {
    match error {
        PackagingError::Manifest(error) => error.into(),
        other => other.into(),
    }
}
