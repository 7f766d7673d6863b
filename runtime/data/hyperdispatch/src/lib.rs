//! Hyperdispatch: operations with numbers, their messages, and who handles them; as npm `hyperdispatch` 1 has them.
//!
//! A message is the number of its operation, then the value in the encoding of the operation's type. Numbers are kept in
//! `dispatch.json`, which npm's builder or our [`Builder`] writes; they stay what they are.
//!
//! ```
//! use hyperdispatch::{Builder, Router};
//! use hyperschema::{Definition, Field, Object, Value};
//!
//! let mut types = hyperschema::Builder::new();
//! types.register("chat", Definition::structure("message").field(Field::new("text", "string").required()))?;
//! let mut operations = Builder::new(0);
//! operations.register("chat", "add-message", "@chat/message", &types.finish()?)?;
//! let dispatch = operations.finish(types.finish()?)?;
//!
//! let mut router: Router<Vec<Value>> = Router::new(&dispatch);
//! router.add("@chat/add-message", |message, log| Box::pin(async move { Ok(log.push(message)) }))?;
//!
//! let bytes = dispatch.encode("@chat/add-message", &Object::new().with("text", "hello").into())?;
//! let mut log = Vec::new();
//! futures::executor::block_on(router.dispatch(&bytes, &mut log))?;
//! assert_eq!(log[0].at("text").and_then(Value::as_text), Some("hello"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod builder;
mod dispatch;
mod error;
mod router;

pub use builder::Builder;
pub use dispatch::{Dispatch, Message};
pub use error::{BuildError, DispatchError};
pub use router::{Handling, Router};
