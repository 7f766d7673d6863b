//! @TITLE@: a window, a page, and one command that the page calls.

use std::convert::Infallible;
use std::process::ExitCode;

use serde::Deserialize;

#[derive(Deserialize)]
struct Greet {
    name: String,
}

fn greet(Greet { name }: Greet) -> Result<String, Infallible> {
    Ok(format!("Hello, {}!", name.trim()))
}

fn main() -> ExitCode {
    bosc_shell::App::new()
        .setup(|app| {
            app.command("greet", greet);
            Ok::<_, Infallible>(())
        })
        .run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_greeted_by_name() {
        let name = " Ada ".to_owned();
        assert_eq!(greet(Greet { name }), Ok("Hello, Ada!".to_owned()));
    }
}
