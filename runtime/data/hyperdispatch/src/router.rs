//! Who handles a message.

use std::collections::HashMap;
use std::error::Error;

use futures::future::BoxFuture;
use hyperschema::Value;

use crate::dispatch::Dispatch;
use crate::error::DispatchError;

/// What a handler gives: the work that it does with the context.
pub type Handling<'a> = BoxFuture<'a, Result<(), Box<dyn Error + Send + Sync>>>;

/// What an operation does, given its value and the context.
type Handler<C> = Box<dyn for<'a> Fn(Value, &'a mut C) -> Handling<'a> + Send + Sync>;

/// Hands messages to the handlers of their operations. `C` is what handlers work on, such as the view of a room.
pub struct Router<C> {
    dispatch: Dispatch,
    handlers: HashMap<String, Handler<C>>,
}

impl<C> Router<C> {
    /// Without handlers.
    pub fn new(dispatch: &Dispatch) -> Self {
        Self {
            dispatch: dispatch.clone(),
            handlers: HashMap::new(),
        }
    }

    /// Sets the handler of an operation.
    pub fn add(
        &mut self,
        name: &str,
        handler: impl for<'a> Fn(Value, &'a mut C) -> Handling<'a> + Send + Sync + 'static,
    ) -> Result<(), DispatchError> {
        if !self.dispatch.names().any(|known| known == name) {
            return Err(DispatchError::UnknownName(name.to_owned()));
        }
        self.handlers.insert(name.to_owned(), Box::new(handler));
        Ok(())
    }

    /// Reads a message and waits for its handler. Every operation must have one, so that what a room holds does not depend on which messages
    /// came first. Dropped halfway, the handler stops where it is.
    pub async fn dispatch(&self, bytes: &[u8], context: &mut C) -> Result<(), DispatchError> {
        let missing = |name: &&str| !self.handlers.contains_key(*name);
        if let Some(name) = self.dispatch.names().find(missing) {
            return Err(DispatchError::NoHandler(name.to_owned()));
        }
        let message = self.dispatch.decode(bytes)?;
        let Some(handler) = self.handlers.get(&message.name) else {
            return Err(DispatchError::NoHandler(message.name));
        };
        handler(message.value, context)
            .await
            .map_err(|source| DispatchError::Handler {
                operation: message.name,
                source,
            })
    }
}
