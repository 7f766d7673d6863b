//! The app's own commands: named Rust functions that the page calls with `bridge.invoke(name, args)`.

use std::any::Any;
use std::collections::HashMap;
use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::message::Failure;

/// Why a command failed, as the page's promise is rejected with it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct CommandError {
    /// A whole sentence for a person.
    pub message: String,
    /// A constant for a program, `None` if the page need not tell this error apart.
    pub code: Option<&'static str>,
}

impl CommandError {
    /// An error with a `code` that the page can compare.
    pub fn new(code: &'static str, message: impl Display) -> Self {
        Self {
            message: message.to_string(),
            code: Some(code),
        }
    }

    pub(crate) fn failure(self) -> Failure {
        Failure {
            message: self.message,
            code: self.code.map(str::to_owned),
        }
    }
}

type Handler = Arc<dyn Fn(Value) -> BoxFuture<'static, Result<Value, CommandError>> + Send + Sync>;

/// The commands of an app, by name.
#[derive(Default, Clone)]
pub struct Commands {
    handlers: HashMap<String, Handler>,
}

impl Commands {
    /// Adds a function that may block (files, SQLite); it runs on a thread for such work. Two calls that the page makes
    /// without awaiting the first may run at the same time.
    ///
    /// The page's argument is read as `A`; what is returned is written as JSON, and an error's words reach the page; so does the
    /// code of a [`CommandError`]. A second command of the same name
    /// replaces the first.
    pub fn add<A, R, E, F>(&mut self, name: &str, function: F)
    where
        A: DeserializeOwned + Send + 'static,
        R: Serialize + 'static,
        E: Display + 'static,
        F: Fn(A) -> Result<R, E> + Send + Sync + 'static,
    {
        let function = Arc::new(function);
        let label: Arc<str> = name.into();
        self.insert(name, move |args| {
            let (function, label) = (function.clone(), label.clone());
            Box::pin(async move {
                let args = read_args(&label, args)?;
                let run = move || {
                    function(args)
                        .map_err(|error| plain(&error))
                        .and_then(|value| write(&value))
                };
                tokio::task::spawn_blocking(run).await.unwrap_or_else(|error| {
                    tracing::error!(command = %label, %error, "a command ended abnormally");
                    Err(CommandError::new(
                        "COMMAND_PANICKED",
                        format!("The command {label:?} ended abnormally."),
                    ))
                })
            })
        });
    }

    /// Adds an async function, for work that waits rather than blocks.
    pub fn add_async<A, R, E, F, T>(&mut self, name: &str, function: F)
    where
        A: DeserializeOwned + Send + 'static,
        R: Serialize + 'static,
        E: Display + Send + 'static,
        T: Future<Output = Result<R, E>> + Send + 'static,
        F: Fn(A) -> T + Send + Sync + 'static,
    {
        let label: Arc<str> = name.into();
        self.insert(name, move |args| match read_args(&label, args) {
            Ok(args) => {
                let result = function(args);
                Box::pin(async move { write(&result.await.map_err(|error| plain(&error))?) })
            }
            Err(error) => Box::pin(async move { Err(error) }),
        });
    }

    fn insert<H>(&mut self, name: &str, handler: H)
    where
        H: Fn(Value) -> BoxFuture<'static, Result<Value, CommandError>> + Send + Sync + 'static,
    {
        if self.handlers.insert(name.to_owned(), Arc::new(handler)).is_some() {
            tracing::warn!(
                command = name,
                "a command was defined twice; the later one is used"
            );
        }
    }

    /// Runs the command `name`.
    pub async fn call(&self, name: &str, args: Value) -> Result<Value, CommandError> {
        match self.handlers.get(name) {
            Some(handler) => handler(args).await,
            None => Err(CommandError::new(
                "UNKNOWN_COMMAND",
                format!(
                    "There is no command {name:?}; define it in the app's Rust code with Setup::command."
                ),
            )),
        }
    }
}

/// An error of a command as the page gets it; the code of a [`CommandError`] stays.
fn plain<E: Display + 'static>(error: &E) -> CommandError {
    let coded = (error as &dyn Any).downcast_ref::<CommandError>();
    coded.cloned().unwrap_or_else(|| CommandError {
        message: error.to_string(),
        code: None,
    })
}

fn read_args<A: DeserializeOwned>(name: &str, args: Value) -> Result<A, CommandError> {
    serde_json::from_value(args).map_err(|error| {
        CommandError::new(
            "BAD_ARGUMENTS",
            format!("The arguments of the command {name:?} are not right: {error}."),
        )
    })
}

fn write<R: Serialize>(value: &R) -> Result<Value, CommandError> {
    serde_json::to_value(value).map_err(|error| {
        CommandError::new(
            "BAD_RESULT",
            format!("The result cannot be written as JSON: {error}."),
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(serde::Deserialize)]
    struct Sum {
        a: i64,
        b: i64,
    }

    fn commands() -> Commands {
        let mut commands = Commands::default();
        commands.add("sum", |Sum { a, b }: Sum| {
            a.checked_add(b).ok_or("the sum is too large")
        });
        commands.add_async("echo", |value: Value| async move { Ok::<_, String>(value) });
        commands.add("coded", |(): ()| {
            Err::<(), _>(CommandError::new("EMPTY", "Write something first."))
        });
        commands.add_async("coded:later", |(): ()| async {
            Err::<(), _>(CommandError::new("EMPTY", "Write something first."))
        });
        commands.add("panic", |(): ()| -> Result<(), String> {
            std::panic::panic_any("on purpose")
        });
        commands
    }

    #[tokio::test]
    async fn results_and_errors_reach_the_caller() {
        let commands = commands();
        assert_eq!(commands.call("sum", json!({"a":1,"b":2})).await, Ok(json!(3)));
        assert_eq!(commands.call("echo", json!([1])).await, Ok(json!([1])));
        let error = commands
            .call("sum", json!({"a":i64::MAX,"b":1}))
            .await
            .unwrap_err();
        assert_eq!(
            error,
            CommandError {
                message: "the sum is too large".into(),
                code: None
            }
        );
    }

    #[tokio::test]
    async fn the_code_of_an_error_reaches_the_page() {
        let commands = commands();
        for name in ["coded", "coded:later"] {
            let error = commands.call(name, Value::Null).await.unwrap_err();
            assert_eq!(error, CommandError::new("EMPTY", "Write something first."));
            assert_eq!(error.failure().code.as_deref(), Some("EMPTY"));
        }
    }

    #[tokio::test]
    async fn wrong_calls_say_what_is_wrong() {
        let commands = commands();
        let error = commands.call("sum", json!({"a":1})).await.unwrap_err();
        assert_eq!(error.code, Some("BAD_ARGUMENTS"));
        assert!(error.message.contains("missing field `b`"), "{error}");
        assert_eq!(
            commands.call("nope", Value::Null).await.unwrap_err().code,
            Some("UNKNOWN_COMMAND")
        );
    }

    #[tokio::test]
    async fn a_panicking_command_is_an_error_of_that_call_only() {
        let commands = commands();
        assert_eq!(
            commands.call("panic", Value::Null).await.unwrap_err().code,
            Some("COMMAND_PANICKED")
        );
        assert_eq!(commands.call("sum", json!({"a":1,"b":1})).await, Ok(json!(2)));
    }
}
