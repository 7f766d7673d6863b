//! The chat's commands, as the page calls them:
//!
//! - `chat:send {text, key}` keeps a message and answers with it; `key` makes a repeated call harmless.
//! - `chat:history {before?, limit?}` answers `{messages, more}`, oldest first, a page at a time from the end.
//! - `chat:profile {name?}` answers `{name}`, and sets it if given.
//! - the event `chat:message` tells of every message kept.

mod store;

use std::sync::{Arc, Mutex, PoisonError};

use bosc_shell::Setup;
use serde::{Deserialize, Serialize};

use store::{Message, Store, StoreError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Send {
    text: String,
    key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct History {
    before: Option<i64>,
    limit: Option<u32>,
}

#[derive(Serialize)]
struct Page {
    messages: Vec<Message>,
    more: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetProfile {
    name: Option<String>,
}

#[derive(Serialize)]
struct Profile {
    name: String,
}

/// Opens the transcript and defines the commands.
pub(crate) fn install(app: &mut Setup) -> Result<(), StoreError> {
    let handle = app.handle().clone();
    let store = Arc::new(Mutex::new(Store::open(&handle.app_storage().join("chat.db"))?));
    let with = move || store.clone();

    app.command("chat:send", {
        let with = with.clone();
        move |Send { text, key }: Send| {
            let message = lock(&with()).send(&text, &key)?;
            handle.emit("chat:message", &message);
            Ok::<_, StoreError>(message)
        }
    });
    app.command("chat:history", {
        let with = with.clone();
        move |History { before, limit }: History| {
            let (messages, more) = lock(&with()).history(before, limit.unwrap_or(50))?;
            Ok::<_, StoreError>(Page { messages, more })
        }
    });
    app.command("chat:profile", move |SetProfile { name }: SetProfile| {
        let store = with();
        let store = lock(&store);
        if let Some(name) = name {
            store.rename(&name)?;
        }
        Ok::<_, StoreError>(Profile { name: store.name()? })
    });
    Ok(())
}

fn lock(store: &Mutex<Store>) -> std::sync::MutexGuard<'_, Store> {
    // A panic cannot leave the store half-written: SQLite rolls back what was not committed.
    store.lock().unwrap_or_else(PoisonError::into_inner)
}
