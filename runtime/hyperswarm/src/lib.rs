//! Hyperswarm: join a topic, get encrypted connections to whoever else did.
